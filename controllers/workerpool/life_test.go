package workerpool_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/test/apiserver"
)

// TestALife is a pool from its making to a change of its image.
func TestALife(t *testing.T) {
	t.Parallel()
	p := newPlay(t).begun(t)
	md := p.mdIs(t, "three machines", replicasAre(3))
	if !slices.Equal(owners(md), []string{"WorkerPool"}) || md.Spec.ClusterName != "prod" || md.Spec.Template.Labels[teapotv1.PoolLabel] != "workers" {
		t.Errorf("the MachineDeployment is %+v", md)
	}
	cluster, infrastructure := &clusterv1.Cluster{}, &teapotv1.TenantCluster{}
	if !p.get(t, "prod", cluster) || !p.get(t, "prod", infrastructure) || cluster.Spec.InfrastructureRef.Name != "prod" || len(cluster.OwnerReferences) != 0 {
		t.Errorf("the Cluster is %+v", cluster)
	}
	eventually(t, "a health check", func() error { return p.c.Get(t.Context(), p.key(), &clusterv1.MachineHealthCheck{}) })
	must(t, p.c.Get(t.Context(), p.key(), p.pool))
	if !slices.Equal(owners(p.pool), []string{"TenantControlPlane"}) || p.pool.OwnerReferences[0].Controller != nil {
		t.Errorf("the pool's owners are %+v", p.pool.OwnerReferences)
	}
	p.ready(t, "False", teapotv1.ReasonScaling, "waiting for Cluster API")

	p.adopt(t)
	p.counts(t, 3, 3, 2)
	slow := p.makeMachine(t, "workers-1")
	machineSays(t, p.c, slow, metav1.Condition{Type: clusterv1.MachineInfrastructureReadyCondition, Status: metav1.ConditionUnknown, Reason: teapotv1.ReasonNoHost, Message: "12 hosts: 7 taken"})
	p.ready(t, "False", teapotv1.ReasonMachinesNotReady, "2 of 3 machines are available", "workers-1 InfrastructureReady is Unknown (NoHost): 12 hosts: 7 taken")
	p.counts(t, 3, 3, 3)
	p.ready(t, "True", teapotv1.ReasonReady, "3 machines")
	p.condition(t, teapotv1.AppliedCondition, "True", teapotv1.ReasonApplied)
	if s := p.pool.Status; s.ClusterName != "prod" || *s.DesiredReplicas != 3 || *s.AvailableReplicas != 3 || s.ObservedGeneration != p.pool.Generation {
		t.Errorf("the status is %+v", s)
	}

	t.Run("scale", func(t *testing.T) {
		scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 5}}
		must(t, p.c.SubResource("scale").Update(t.Context(), p.pool, client.WithSubResourceBody(scale)))
		p.mdIs(t, "five machines", replicasAre(5))
		p.counts(t, 3, 3, 3)
		p.ready(t, "False", teapotv1.ReasonScaling, "3 machines of 5")
		p.counts(t, 5, 5, 5)
		p.ready(t, "True", teapotv1.ReasonReady, "5 machines")
	})
	t.Run("a label that Cluster API brings to Nodes changes no machine", func(t *testing.T) {
		before := p.md(t).Spec.Template.Spec
		p.change(t, func(s *teapotv1.WorkerPoolSpec) {
			s.Labels = map[string]teapotv1.LabelValue{"node-role.kubernetes.io/worker": ""}
		})
		md := p.mdIs(t, "the label", func(md *clusterv1.MachineDeployment) bool {
			_, has := md.Spec.Template.Labels["node-role.kubernetes.io/worker"]
			return has
		})
		if md.Spec.Template.Spec.Bootstrap.ConfigRef != before.Bootstrap.ConfigRef || md.Spec.Template.Spec.InfrastructureRef != before.InfrastructureRef {
			t.Errorf("it names other templates: %+v, before %+v", md.Spec.Template.Spec, before)
		}
		p.counts(t, 5, 5, 5)
	})
	t.Run("another image: new machines, and the template of the old ones stays as long as they do", func(t *testing.T) {
		set := p.makeMachineSet(t, "workers-old")
		was := p.md(t).Spec.Template.Spec.InfrastructureRef.Name
		p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Image.URL = "oci://images.example.com/node:v1.36.3-2" })
		md := p.mdIs(t, "another template", func(md *clusterv1.MachineDeployment) bool {
			return md.Spec.Template.Spec.InfrastructureRef.Name != was
		})
		is := md.Spec.Template.Spec.InfrastructureRef.Name
		p.adopt(t)
		p.counts(t, 5, 1, 4)
		p.ready(t, "False", teapotv1.ReasonRolling, "1 of 5 machines are up to date")
		if _, names := p.templates(t); !slices.Contains(names, was) || !slices.Contains(names, is) {
			t.Errorf("templates are %q, want both of %q and %q", names, was, is)
		}
		must(t, p.c.Delete(t.Context(), set))
		p.counts(t, 5, 5, 5)
		p.ready(t, "True", teapotv1.ReasonReady)
		eventually(t, "the old template to go", func() error {
			if bootstrap, names := p.templates(t); !slices.Equal(names, []string{is}) || len(bootstrap) != 1 {
				return fmt.Errorf("templates are %q and %q", bootstrap, names)
			}
			return nil
		})
	})
	t.Run("remediation off and on", func(t *testing.T) {
		check := &clusterv1.MachineHealthCheck{ObjectMeta: p.named("workers")}
		p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Remediation.Enabled = ptr.To(false) })
		gone(t, p.c, check)
		p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Remediation.Enabled = ptr.To(true) })
		eventually(t, "a health check", func() error { return p.c.Get(t.Context(), p.key(), check) })
	})
}

func TestAutoscaling(t *testing.T) {
	t.Parallel()
	defaultReplicas(t)
	p := newPlay(t)
	p.pool.Spec.Replicas, p.pool.Spec.Autoscaling = nil, &teapotv1.PoolAutoscaling{MinReplicas: 1, MaxReplicas: 6}
	p.begun(t)
	md := p.mdIs(t, "the least number", replicasAre(1))
	if md.Annotations[clusterv1.AutoscalerMaxSizeAnnotation] != "6" {
		t.Errorf("its annotations are %v", md.Annotations)
	}
	scale := func(n int32) {
		t.Helper()
		must(t, p.c.SubResource("scale").Update(t.Context(), p.md(t), client.WithSubResourceBody(&autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: n}})))
	}
	desired := func(n int32) {
		t.Helper()
		eventually(t, "the status", func() error {
			must(t, p.c.Get(t.Context(), p.key(), p.pool))
			if got := ptr.Deref(p.pool.Status.DesiredReplicas, -1); got != n {
				return fmt.Errorf("desiredReplicas is %d, want %d", got, n)
			}
			return nil
		})
	}
	scale(4)
	desired(4)
	template := &teapotv1.HostMachineTemplate{}
	if !p.get(t, md.Spec.Template.Spec.InfrastructureRef.Name, template) {
		t.Fatal("there is no template")
	}
	apiserver.ChangeStatus(t, p.c, template, func() { template.Status.NodeInfo = teapotv1.NodeInfo{Architecture: "arm64", OperatingSystem: "linux"} })
	p.mdIs(t, "four machines, of what the hosts are", func(md *clusterv1.MachineDeployment) bool {
		return replicasAre(4)(md) && md.Annotations["capacity.cluster-autoscaler.kubernetes.io/labels"] == "kubernetes.io/arch=arm64,kubernetes.io/os=linux"
	})
	p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Autoscaling.MaxReplicas = 3 })
	p.mdIs(t, "bounds that the autoscaler follows", func(md *clusterv1.MachineDeployment) bool {
		return md.Annotations[clusterv1.AutoscalerMaxSizeAnnotation] == "3"
	})
	if md := p.md(t); !replicasAre(4)(md) {
		t.Errorf("replicas are %d: they are the autoscaler's to change", *md.Spec.Replicas)
	}

	p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Replicas, s.Autoscaling = ptr.To[int32](2), nil })
	p.mdIs(t, "two machines, and no autoscaler", func(md *clusterv1.MachineDeployment) bool {
		_, bounds := md.Annotations[clusterv1.AutoscalerMinSizeAnnotation]
		return replicasAre(2)(md) && !bounds
	})
	p.change(t, func(s *teapotv1.WorkerPoolSpec) {
		s.Replicas, s.Autoscaling = nil, &teapotv1.PoolAutoscaling{MinReplicas: 0, MaxReplicas: 6}
	})
	p.mdIs(t, "as many machines as before, and an autoscaler", func(md *clusterv1.MachineDeployment) bool {
		return replicasAre(2)(md) && md.Annotations[clusterv1.AutoscalerMinSizeAnnotation] == "0"
	})
}

func TestTwoPoolsShareACluster(t *testing.T) {
	t.Parallel()
	p := newPlay(t).begun(t)
	other := &play{c: p.c, tcp: p.tcp, pool: newPool(p.pool.Namespace, "gpu")}
	other.asked(t)
	for _, each := range []*play{p, other} {
		if md := each.md(t); md.Spec.ClusterName != "prod" {
			t.Errorf("the machines of %s are of Cluster %s", each.pool.Name, md.Spec.ClusterName)
		}
	}
	clusters := &clusterv1.ClusterList{}
	must(t, p.c.List(t.Context(), clusters, client.InNamespace(p.pool.Namespace)))
	if len(clusters.Items) != 1 {
		t.Errorf("there are %d Clusters", len(clusters.Items))
	}
}

// TestAClusterOfTheUsers: one that names the control plane is taken, whatever its name.
func TestAClusterOfTheUsers(t *testing.T) {
	t.Parallel()
	p := newPlay(t)
	theirs := &clusterv1.Cluster{ObjectMeta: p.named("theirs"), Spec: clusterv1.ClusterSpec{
		ControlPlaneRef:   clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: "TenantControlPlane", Name: "prod"},
		InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: teapotv1.GroupVersion.Group, Kind: "TenantCluster", Name: "theirs"},
	}}
	must(t, p.c.Create(t.Context(), theirs))
	p.begun(t)
	if md := p.md(t); md.Spec.ClusterName != "theirs" {
		t.Errorf("the machines are of Cluster %s", md.Spec.ClusterName)
	}
	eventually(t, "its name in the status", func() error {
		must(t, p.c.Get(t.Context(), p.key(), p.pool))
		if p.pool.Status.ClusterName != "theirs" {
			return fmt.Errorf("it is %q", p.pool.Status.ClusterName)
		}
		return nil
	})
	if p.get(t, "prod", &clusterv1.Cluster{}) || p.get(t, "theirs", &teapotv1.TenantCluster{}) {
		t.Error("something was made beside a Cluster that is there")
	}
}

// TestNamesTaken: what is somebody else's is never taken over.
func TestNamesTaken(t *testing.T) {
	t.Parallel()
	machine := clusterv1.MachineSpec{
		ClusterName: "prod", InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: "a.b", Kind: "C", Name: "d"},
		Bootstrap: clusterv1.Bootstrap{DataSecretName: ptr.To("e")},
	}
	selector := metav1.LabelSelector{MatchLabels: map[string]string{"theirs": ""}}
	for name, test := range map[string]struct {
		object func(metav1.ObjectMeta) client.Object
		called string
	}{
		"MachineDeployment": {called: "workers", object: func(of metav1.ObjectMeta) client.Object {
			return &clusterv1.MachineDeployment{ObjectMeta: of, Spec: clusterv1.MachineDeploymentSpec{
				ClusterName: "prod", Replicas: ptr.To[int32](7), Selector: selector, Template: clusterv1.MachineTemplateSpec{Spec: machine},
			}}
		}},
		"MachineHealthCheck": {called: "workers", object: func(of metav1.ObjectMeta) client.Object {
			return &clusterv1.MachineHealthCheck{ObjectMeta: of, Spec: clusterv1.MachineHealthCheckSpec{ClusterName: "prod", Selector: selector}}
		}},
		"Cluster": {called: "prod", object: func(of metav1.ObjectMeta) client.Object {
			return &clusterv1.Cluster{ObjectMeta: of, Spec: clusterv1.ClusterSpec{
				InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: "a.b", Kind: "C", Name: "d"},
			}}
		}},
		"TenantCluster": {called: "prod", object: func(of metav1.ObjectMeta) client.Object { return &teapotv1.TenantCluster{ObjectMeta: of} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t)
			object := test.object(p.named(test.called))
			must(t, p.c.Create(t.Context(), object))
			before := object.GetResourceVersion()
			p.begun(t)
			p.refused(t, teapotv1.ReasonNameTaken, name+" "+test.called, "delete it")
			p.condition(t, teapotv1.StalledCondition, "True", teapotv1.ReasonNameTaken)
			must(t, p.c.Get(t.Context(), client.ObjectKeyFromObject(object), object))
			if object.GetResourceVersion() != before {
				t.Errorf("it was changed: %+v", object)
			}
			must(t, p.c.Delete(t.Context(), object))
			apiserver.Change(t, p.c, p.pool, func() { metav1.SetMetaDataAnnotation(&p.pool.ObjectMeta, "look", "again") })
			p.condition(t, teapotv1.AppliedCondition, "True", teapotv1.ReasonApplied)
		})
	}
}

func TestSkewIsRefusedAndAcceptedLater(t *testing.T) {
	t.Parallel()
	p := newPlay(t)
	p.tcp.Spec.Version, p.pool.Spec.Version = "v1.35.4", "v1.35.4"
	p.begun(t)
	p.mdIs(t, "three machines", replicasAre(3))
	p.adopt(t)
	p.counts(t, 3, 3, 3)
	p.ready(t, "True", teapotv1.ReasonReady)
	was := p.md(t).Generation
	p.change(t, func(s *teapotv1.WorkerPoolSpec) { s.Version, s.Replicas = "v1.36.3", ptr.To[int32](9) })
	p.refused(t, teapotv1.ReasonVersionSkew, "v1.36.3 is newer than the v1.35.4", "upgrade the control plane first")
	p.ready(t, "False", teapotv1.ReasonVersionSkew)
	if now := p.md(t).Generation; now != was || *p.pool.Status.AvailableReplicas != 3 {
		t.Errorf("a refused spec changed the MachineDeployment (%d, was %d), or the numbers: %+v", now, was, p.pool.Status)
	}

	apiserver.ChangeStatus(t, p.c, p.tcp, func() { p.tcp.Status.Version = "v1.35.4" })
	apiserver.Change(t, p.c, p.tcp, func() { p.tcp.Spec.Version = "v1.36.3" })
	p.refused(t, teapotv1.ReasonVersionSkew, "still runs v1.35.4")
	apiserver.ChangeStatus(t, p.c, p.tcp, func() { p.tcp.Status.Version = "v1.36.3" })
	p.condition(t, teapotv1.AppliedCondition, "True", teapotv1.ReasonApplied)
	p.mdIs(t, "the new version", func(md *clusterv1.MachineDeployment) bool {
		return md.Spec.Template.Spec.Version == "v1.36.3" && replicasAre(9)(md)
	})
}

func TestThePoolComesBeforeItsControlPlane(t *testing.T) {
	t.Parallel()
	p := newPlay(t).asked(t)
	p.refused(t, teapotv1.ReasonWaitingForControlPlane, "TenantControlPlane prod")
	if len(p.pool.Finalizers) != 0 || p.get(t, "prod", &clusterv1.Cluster{}) {
		t.Errorf("something was made for a control plane that is not there: %+v", p.pool)
	}
	must(t, p.c.Create(t.Context(), p.tcp))
	p.mdIs(t, "three machines", replicasAre(3))
}

// TestRepair: what is Teapot's and somebody changes is put back; what somebody adds to the
// MachineDeployment stays.
func TestRepair(t *testing.T) {
	t.Parallel()
	p := newPlay(t).begun(t)
	p.mdIs(t, "three machines", replicasAre(3))
	p.condition(t, teapotv1.AppliedCondition, "True", teapotv1.ReasonApplied)
	p.adopt(t)

	scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 1}}
	must(t, p.c.SubResource("scale").Update(t.Context(), p.md(t), client.WithSubResourceBody(scale)))
	p.mdIs(t, "three machines again", replicasAre(3))

	md := p.md(t)
	apiserver.Change(t, p.c, md, func() {
		md.Spec.Template.Spec.Deletion.NodeDrainTimeoutSeconds = ptr.To[int32](0)
		md.Spec.MachineNaming.Template = "{{ .machineSet.name }}-{{ .random }}"
		delete(md.Labels, teapotv1.ManagedByLabel)
	})
	p.mdIs(t, "the time-out and the label again", func(md *clusterv1.MachineDeployment) bool {
		return *md.Spec.Template.Spec.Deletion.NodeDrainTimeoutSeconds == 600 && md.Labels[teapotv1.ManagedByLabel] == teapotv1.ManagedByTeapot
	})
	if got := owners(p.md(t)); !slices.Equal(got, []string{"Cluster", "WorkerPool"}) {
		t.Errorf("the MachineDeployment's owners are %q", got)
	}

	config := &bootstrapv1.KubeadmConfigTemplate{ObjectMeta: p.named(md.Spec.Template.Spec.Bootstrap.ConfigRef.Name)}
	apiserver.Change(t, p.c, config, func() { config.Spec.Template.Spec.PreKubeadmCommands = []string{"true"} })
	eventually(t, "the command that somebody added to go", func() error {
		config = &bootstrapv1.KubeadmConfigTemplate{ObjectMeta: config.ObjectMeta}
		must(t, p.c.Get(t.Context(), client.ObjectKeyFromObject(config), config))
		if len(config.Spec.Template.Spec.PreKubeadmCommands) != 0 {
			return errors.New("it is still there")
		}
		return nil
	})
	if got := owners(config); !slices.Equal(got, []string{"Cluster", "WorkerPool"}) {
		t.Errorf("the template's owners are %q", got)
	}

	check := &clusterv1.MachineHealthCheck{ObjectMeta: p.named("workers")}
	must(t, p.c.Get(t.Context(), p.key(), check))
	uid := check.UID
	must(t, p.c.Delete(t.Context(), check))
	eventually(t, "another health check", func() error {
		if !p.get(t, "workers", check) || check.UID == uid {
			return errors.New("there is none")
		}
		return nil
	})
}
