package host

import (
	"testing"

	metal3v1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/util/sets"
)

func TestNamespaces(t *testing.T) {
	type rules = metal3v1.HostClaimNamespaces
	labels := map[string]string{"tier": "gold", "team": ""}
	for _, test := range []struct {
		name  string
		rules *rules
		want  bool
	}{
		{"no rules let nobody in", nil, false},
		{"empty rules let everybody in", &rules{}, true},
		{"its name", &rules{Names: []string{"other", "acme"}}, true},
		{"other names", &rules{Names: []string{"other"}}, false},
		{"a list of no names", &rules{Names: []string{}}, false},
		{"an expression that matches", &rules{NameMatches: "^ac"}, true},
		{"an expression that matches a part", &rules{NameMatches: "cm"}, true},
		{"an expression that does not match", &rules{NameMatches: "^cm"}, false},
		{"an expression that cannot be read", &rules{NameMatches: "ac["}, false},
		{"a label with a value", &rules{HasLabels: []metal3v1.NameValuePair{{Name: "tier", Value: "gold"}}}, true},
		{"a label with another value", &rules{HasLabels: []metal3v1.NameValuePair{{Name: "tier", Value: "tin"}}}, false},
		{"a label with any value", &rules{HasLabels: []metal3v1.NameValuePair{{Name: "team"}}}, true},
		{"a label that it lacks", &rules{HasLabels: []metal3v1.NameValuePair{{Name: "tier"}, {Name: "room"}}}, false},
		{"all rules must be kept: name and label", &rules{Names: []string{"acme"}, HasLabels: []metal3v1.NameValuePair{{Name: "room"}}}, false},
		{"all rules must be kept: name and expression", &rules{Names: []string{"acme"}, NameMatches: "^x"}, false},
		{"all rules are kept", &rules{Names: []string{"acme"}, NameMatches: "^acme$", HasLabels: []metal3v1.NameValuePair{{Name: "tier", Value: "gold"}}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			policy := Policy{Spec: metal3v1.HostDeployPolicySpec{HostClaimNamespaces: test.rules}}
			policy.Namespace = "machines"
			want := sets.New("acme")
			if test.want {
				want.Insert("machines")
			}
			if got := Namespaces([]Policy{policy}, "acme", labels); !got.Equal(want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if got, want := AskForLabels([]Policy{policy}), test.rules != nil && len(test.rules.HasLabels) > 0; got != want {
				t.Errorf("it asks for labels: %v, want %v", got, want)
			}
		})
	}
	t.Run("one policy of several is enough", func(t *testing.T) {
		no, yes := Policy{}, Policy{Spec: metal3v1.HostDeployPolicySpec{HostClaimNamespaces: &rules{}}}
		no.Namespace, yes.Namespace = "machines", "machines"
		if !Namespaces([]Policy{no, yes}, "acme", nil).Has("machines") {
			t.Error("it is not let in")
		}
	})
}
