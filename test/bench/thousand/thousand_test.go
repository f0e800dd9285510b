package thousand

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/klog/v2/textlogger"
	ctrl "sigs.k8s.io/controller-runtime"
)

var (
	tenants  = flag.Int("tenants", 20, "how many control planes there are")
	pools    = flag.Int("pools", 2, "how many pools there are")
	machines = flag.Int("machines", 3, "how many machines each pool has")
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(textlogger.NewLogger(textlogger.NewConfig()))
	os.Exit(m.Run())
}

func TestCountSent(t *testing.T) {
	said := `# TYPE rest_client_requests_total counter
rest_client_requests_total{code="200",host="127.0.0.1:1",method="PATCH"} 3
rest_client_requests_total{code="409",host="127.0.0.1:1",method="PUT"} 1
rest_client_requests_total{code="201",host="127.0.0.1:1",method="POST"} 5
rest_client_requests_total{code="200",host="127.0.0.1:1",method="GET"} 7
rest_client_requests_total{code="200",host="127.0.0.1:2",method="PATCH"} 11
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",resource="tokenreviews",verb="POST"} 2
apiserver_request_total{code="201",resource="subjectaccessreviews",verb="POST"} 2
apiserver_request_total{code="201",resource="events",verb="POST"} 13
`
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(said))
	if err != nil {
		t.Fatal(err)
	}
	if count := countSent(families, "127.0.0.1:1"); count != 9 {
		t.Errorf("counted %.0f sent", count)
	}
	if count := countReviews(families); count != 4 {
		t.Errorf("counted %.0f reviews", count)
	}
}

func TestCountWrites(t *testing.T) {
	said := `# TYPE apiserver_request_total counter
apiserver_request_total{code="200",resource="secrets",verb="APPLY"} 3
apiserver_request_total{code="409",resource="secrets",verb="APPLY"} 1
apiserver_request_total{code="201",resource="events",verb="POST"} 2
apiserver_request_total{code="200",resource="secrets",verb="LIST"} 5
apiserver_request_total{code="200",resource="secrets",verb="WATCH"} 7
apiserver_request_total{code="200",resource="leases",verb="PUT"} 11
apiserver_request_total{code="201",resource="tokenreviews",verb="POST"} 13
`
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(said))
	if err != nil {
		t.Fatal(err)
	}
	counted := countWrites(families)
	if diff := cmp.Diff(writes{"secrets": 4, "events": 2}, counted); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(writes{"secrets": 1}, counted.since(writes{"secrets": 3, "events": 2})); diff != "" {
		t.Errorf("since an earlier count (-want +got):\n%s", diff)
	}
}

// begin opens a room with a manager in it, and closes it at the end of the test.
func begin(t *testing.T) *room {
	t.Helper()
	r, err := openRoom(t.Context())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the manager's log:\n%s", r.said())
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.startManager(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRoom is the benchmark's course at a size at which nothing is worth measuring: all
// control planes become Ready, then the manager writes nothing while it goes on asking every
// tenant, and a new manager finds them all without a write.
func TestRoom(t *testing.T) {
	r := begin(t)
	if _, err := r.grow(t.Context(), *tenants, time.Minute+time.Duration(*tenants)*perTenant); err != nil {
		t.Fatal(err)
	}
	if err := r.settle(t.Context()); err != nil {
		t.Fatal(err)
	}

	before, versions := mustWrites(t, r), r.roster.versions()
	if err := r.awaitPolls(t.Context(), 10, time.Minute); err != nil {
		t.Fatal(err)
	}
	if written := mustWrites(t, r).since(before); written.sum() > 0 {
		t.Errorf("writes at steady state: %v", written)
	}

	again, err := r.restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again.writes.sum() > 0 {
		t.Errorf("writes at and after a restart: %v", again.writes)
	}
	if diff := cmp.Diff(versions, r.roster.versions()); diff != "" {
		t.Errorf("control planes were changed (-before +after):\n%s", diff)
	}
}

// TestRest is the course of the benchmark of sleeping control planes at a size at which nothing is
// worth measuring: all sleep, nobody asks a tenant any more, and neither a manager that put them to
// sleep nor a new one writes anything.
func TestRest(t *testing.T) {
	r := begin(t)
	if _, err := r.growTo(t.Context(), *tenants); err != nil {
		t.Fatal(err)
	}
	took, err := r.hibernate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d control planes are asleep after %s", *tenants, took)
	// It fails if the manager goes on writing.
	if err := r.still(t.Context(), settledFor); err != nil {
		t.Fatal(err)
	}
	before, versions := r.tenants.answered.Load(), r.roster.versions()
	if err := r.stopManager(); err != nil {
		t.Fatal(err)
	}
	if err := r.startManager(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.awaitReconciles(t.Context(), uint64(*tenants)); err != nil {
		t.Fatal(err)
	}
	if err := r.still(t.Context(), settledFor); err != nil {
		t.Fatal(err)
	}
	if written := mustSent(t, r); written.manager > 0 {
		t.Errorf("a new manager wrote %.0f times: %v", written.manager, written.all)
	}
	if asked := r.tenants.answered.Load() - before; asked > 0 {
		t.Errorf("tenants that sleep were asked %d times", asked)
	}
	if diff := cmp.Diff(versions, r.roster.versions()); diff != "" {
		t.Errorf("control planes were changed (-before +after):\n%s", diff)
	}
}

// TestPools is the course of the benchmark of pools at a size at which nothing is worth measuring.
func TestPools(t *testing.T) {
	r, err := openRoom(t.Context())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the manager's log:\n%s\nand of Cluster API's:\n%s", r.said(), r.saidBy())
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	count := *pools * *machines
	if err := r.openPools(t.Context(), count, t.Logf); err != nil {
		t.Fatal(err)
	}
	before := mustSent(t, r)
	took, err := r.growPools(t.Context(), *pools, *machines)
	if err != nil {
		t.Fatal(err)
	}
	// It fails if the manager goes on writing.
	if err := r.still(t.Context(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	wrote := mustSent(t, r).since(before)
	t.Logf("%d machines after %s; for each the manager wrote %.1f times, others %.1f times, in all: %v", count, took, wrote.manager/float64(count), wrote.others()/float64(count), wrote.all)
	// Each machine is a HostMachine, a claim and a host, at least, and others write too.
	if wrote.manager < float64(3*count) || wrote.others() < float64(count) {
		t.Errorf("counted %+v", wrote)
	}
}

func mustSent(t *testing.T, r *room) sent {
	t.Helper()
	counted, err := r.sent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return counted
}

func mustWrites(t *testing.T, r *room) writes {
	t.Helper()
	counted, err := r.writes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return counted
}
