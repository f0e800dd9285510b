package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"

	"github.com/teapot-cloud/teapot/test/machineroom/control"
	"github.com/teapot-cloud/teapot/test/machineroom/machine"
	"github.com/teapot-cloud/teapot/test/machineroom/room"
)

func listCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the machines: power, what Ironic does with them, what is on their disks",
		Example: "  go run ./test/machineroom list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			machines, err := control.Client{Dir: *dir}.List(cmd.Context())
			if err != nil {
				return err
			}
			return printMachines(cmd.OutOrStdout(), machines, time.Now())
		},
	}
}

// printMachines prints a table. Elapsed is for how long a machine's node is in its state.
func printMachines(out io.Writer, machines []control.Machine, now time.Time) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tCLASS\tPOWER\tSTATE\tELAPSED\tIMAGE\tFAULT\tHOST")
	for _, m := range machines {
		power := "off"
		if m.Power {
			power = "on (" + string(m.Boots) + ")"
		}
		provision, elapsed, host := "-", "-", "-"
		if m.Node != nil {
			provision, elapsed, host = m.Node.ProvisionState, duration.HumanDuration(now.Sub(m.Node.Since)), m.Node.Name
			if m.Node.Maintenance {
				provision += ", maintenance"
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, m.Hardware.Class, power, provision, elapsed, dash(m.Image), dash(m.Faults), host)
	}
	return table.Flush()
}

// dash stands for nothing in a table.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func showCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Show all about a machine: hardware, management controller, Ironic's last error",
		Example: "  go run ./test/machineroom show machine-0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := control.Client{Dir: *dir}.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			data, err := yaml.Marshal(m)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		},
	}
}

func hostsCommand(dir *string) *cobra.Command {
	var namespace string
	var first int
	cmd := &cobra.Command{
		Use:   "hosts",
		Short: "Print BareMetalHosts of all machines, with the Secrets for their management controllers",
		Long: `Print a BareMetalHost and a Secret for each machine, or for the first ones: a machine can
be one host only, and tests and benchmarks make hosts of others. Labels say in which failure
domain it is, in which rack, and what accelerators it has, which Metal3's inspection does not
report.`,
		Example: `  go run ./test/machineroom hosts -n metal | kubectl apply -f -`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			machines, err := control.Client{Dir: *dir}.List(cmd.Context())
			if err != nil {
				return err
			}
			if first > 0 {
				machines = machines[:min(first, len(machines))]
			}
			return control.WriteHosts(cmd.OutOrStdout(), namespace, machines)
		},
	}
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "default", "namespace of the hosts")
	cmd.Flags().IntVar(&first, "first", 0, "only so many machines, from machine-0 on (default: all)")
	return cmd
}

func powerCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "power NAME on|off|cut",
		Short: "Press a machine's power button, or pull its plug",
		Long: `Press a machine's power button, or pull its plug. Ironic is not asked: it notices within
seconds. off asks the operating system to end, cut does not.`,
		Example: "  go run ./test/machineroom power machine-0 cut",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[1] {
			case control.PowerOn, control.PowerOff, control.PowerCut:
				return control.Client{Dir: *dir}.Power(cmd.Context(), args[0], args[1])
			}
			return fmt.Errorf("%w: %q is not on, off or cut", errUsage, args[1])
		},
	}
}

func failCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "fail NAME FAULT[,FAULT...]|none",
		Short: "Have a machine fail, from now on, in place of how it failed before",
		Long: `Have a machine fail, from now on, in place of how it failed before:

  no-power-on     it cannot be powered on
  fail-inspect    inspection fails
  fail-provision  writing an image fails
  fail-clean      cleaning fails
  hang            the next operation never ends; it goes on once this is taken away
  slow=DURATION   each operation takes that much longer
  lose-power      the power is cut now, once
  none            it is well`,
		Example: `  go run ./test/machineroom fail machine-2 fail-clean
  go run ./test/machineroom fail machine-3 fail-provision,slow=2m
  go run ./test/machineroom fail machine-2 none`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, _, err := room.ParseFaults(args[1]); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return control.Client{Dir: *dir}.Fail(cmd.Context(), args[0], args[1])
		},
	}
}

// booted returns a machine that is run on this computer.
func booted(cmd *cobra.Command, dir, name string) (machine.Config, error) {
	settings, err := room.Load(dir)
	if err != nil {
		return machine.Config{}, err
	}
	if settings != nil && settings.NoBoot || room.IndexOf(name) >= room.FirstFolder {
		return machine.Config{}, fmt.Errorf("%s runs no operating system: it was made with --no-boot or --folders", name)
	}
	m, err := control.Client{Dir: dir}.Get(cmd.Context(), name)
	if err != nil {
		return machine.Config{}, err
	}
	return machine.Config{Name: m.Name, Dir: m.Dir}, nil
}

func consoleCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:     "console NAME",
		Short:   "Print what a machine wrote to its console since it was powered on",
		Example: "  go run ./test/machineroom console machine-0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := booted(cmd, *dir, args[0])
			if err != nil {
				return err
			}
			f, err := os.Open(c.Console())
			if err != nil {
				return fmt.Errorf("%s has not booted yet: %w", c.Name, err)
			}
			defer f.Close()
			_, err = io.Copy(cmd.OutOrStdout(), f)
			return err
		},
	}
}

func shellCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "shell NAME [-- COMMAND [ARGUMENT...]]",
		Short: "Run a command, or a shell, in a machine",
		Example: `  go run ./test/machineroom shell machine-0
  go run ./test/machineroom shell machine-0 -- journalctl -u kubelet`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := booted(cmd, *dir, args[0])
			if err != nil {
				return err
			}
			command := args[1:]
			if len(command) == 0 {
				command = []string{"bash"}
			}
			in, err := machine.New(c).Exec(cmd.Context(), command[0], command[1:]...)
			if err != nil {
				return err
			}
			in.Stdin, in.Stdout, in.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			return in.Run()
		},
	}
}
