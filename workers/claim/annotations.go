package claim

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// HostOf is the host that the claim's annotation names, if it names one. Here and below a claim's
// metadata are enough.
func HostOf(claim metav1.Object) (types.NamespacedName, bool) {
	namespace, name, ok := strings.Cut(claim.GetAnnotations()[teapotv1.HostAnnotation], "/")
	return types.NamespacedName{Namespace: namespace, Name: name}, ok && namespace != "" && name != ""
}

// ranOn says whether the claim's host, by name, ran the image before: it is noted on the claim, since
// a status may be lost, and another host would be another machine.
func ranOn(claim metav1.Object) bool {
	annotations := claim.GetAnnotations()
	name, noted := annotations[teapotv1.ProvisionedAnnotation]
	return noted && name == annotations[teapotv1.HostAnnotation]
}

// failedHosts are the hosts that the claim gave back because they could not be provisioned.
func failedHosts(claim metav1.Object) []string {
	return strings.FieldsFunc(claim.GetAnnotations()[teapotv1.FailedHostsAnnotation], func(r rune) bool { return r == ',' || r == ' ' })
}

func hasFailedOn(claim metav1.Object, name types.NamespacedName) bool {
	return slices.Contains(failedHosts(claim), name.String())
}

// AddFailed is the value of the annotation teapot.dev/failed-hosts with one more host.
func AddFailed(claim metav1.Object, failed types.NamespacedName) string {
	return strings.Join(append(failedHosts(claim), failed.String()), ",")
}
