package room

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Fault is a way in which a machine fails.
type Fault string

// The faults that a machine can be told to have.
const (
	// NoPowerOn has every attempt to power on fail; a running machine goes on.
	NoPowerOn Fault = "no-power-on"
	// FailInspect has the ramdisk fail to look at the hardware.
	FailInspect Fault = "fail-inspect"
	// FailProvision has the ramdisk fail to write an image.
	FailProvision Fault = "fail-provision"
	// FailClean has the ramdisk fail to erase the disk, and to do any other step of cleaning.
	FailClean Fault = "fail-clean"
	// Hang has the next operation never end. It goes on when the fault is taken away.
	Hang Fault = "hang"
	// LosePower cuts the power, once, when it is told. It is not kept.
	LosePower Fault = "lose-power"
	// slowPrefix is followed by how long each operation takes in addition.
	slowPrefix = "slow="
)

// kept are the faults that stay until they are taken away.
var kept = []Fault{NoPowerOn, FailInspect, FailProvision, FailClean, Hang}

// Faults is what a machine was told: faults, and how long each operation takes in addition to
// the work. Its text form is a list separated by commas, such as "fail-clean,slow=2m"; "none" and
// "" are no fault.
type Faults struct {
	set  []Fault
	slow time.Duration
}

// ParseFaults reads the text form. Power is lost if the list has LosePower, which the result does
// not hold.
func ParseFaults(text string) (f Faults, losePower bool, err error) {
	if text == "" || text == "none" {
		return Faults{}, false, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		switch value, isSlow := strings.CutPrefix(word, slowPrefix); {
		case isSlow:
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return Faults{}, false, fmt.Errorf("fault %q: %s is followed by a duration of more than 0, for example %s2m", word, slowPrefix, slowPrefix)
			}
			f.slow = d
		case Fault(word) == LosePower:
			losePower = true
		case !slices.Contains(kept, Fault(word)):
			return Faults{}, false, fmt.Errorf("fault %q: must be none, or some of %s, %s<duration> with commas between", word, join(append(kept[:len(kept):len(kept)], LosePower)), slowPrefix)
		case !slices.Contains(f.set, Fault(word)):
			f.set = append(f.set, Fault(word))
		}
	}
	slices.Sort(f.set)
	return f, losePower, nil
}

// Has says whether the fault is among them.
func (f Faults) Has(fault Fault) bool { return slices.Contains(f.set, fault) }

// String returns the text form; "" is no fault.
func (f Faults) String() string {
	text := join(f.set)
	if f.slow == 0 {
		return text
	}
	slow := slowPrefix + f.slow.String()
	if text == "" {
		return slow
	}
	return text + "," + slow
}

// MarshalText implements encoding.TextMarshaler.
func (f Faults) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Faults) UnmarshalText(text []byte) error {
	parsed, _, err := ParseFaults(string(text))
	if err != nil {
		return err
	}
	*f = parsed
	return nil
}

// join returns the names with commas between.
func join(faults []Fault) string {
	names := make([]string, len(faults))
	for i, f := range faults {
		names[i] = string(f)
	}
	return strings.Join(names, ",")
}
