package tenantcontrolplane_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
	"github.com/teapot-cloud/teapot/controlplane"
)

// Beside a bare API server nothing runs pods, binds volumes, empties namespaces, collects
// garbage or serves a tenant. What is here plays these.

// claimSpec is what the API server asks of a claim.
func claimSpec() corev1.PersistentVolumeClaimSpec {
	return corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}
}

// bind gives a volume claim a volume.
func bind(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	bound := claim.DeepCopy()
	bound.Status.Phase = corev1.ClaimBound
	return client.IgnoreNotFound(direct.Status().Patch(ctx, bound, client.MergeFrom(claim)))
}

// playPods makes etcd and the control-plane pods ready, as many as are asked for, and gives
// etcd its volume claims. It reports whether it changed anything.
func playPods(ctx context.Context, owner types.NamespacedName) (bool, error) {
	namespace := controlplane.Namespace(owner)
	changed := false
	etcd := &appsv1.StatefulSet{}
	switch err := direct.Get(ctx, types.NamespacedName{Namespace: namespace, Name: controlplane.EtcdName}, etcd); {
	case err == nil && etcd.DeletionTimestamp == nil:
		members := *etcd.Spec.Replicas
		for i := range members {
			claim := &corev1.PersistentVolumeClaim{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: namespace, Name: fmt.Sprintf("%s-%s-%d", controlplane.EtcdVolume, etcd.Name, i),
					Labels: etcd.Spec.VolumeClaimTemplates[0].Labels,
				},
				Spec: claimSpec(),
			}
			if etcd.Status.ReadyReplicas == members {
				break
			}
			for _, object := range []client.Object{claim, etcdPod(owner, i)} {
				if err := direct.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
					return false, err
				}
			}
			if err := bind(ctx, claim); err != nil {
				return false, err
			}
		}
		if members == 0 {
			err := direct.Delete(ctx, etcdPod(owner, 0), client.GracePeriodSeconds(0))
			if changed = err == nil; client.IgnoreNotFound(err) != nil {
				return false, err
			}
		}
		wanted := appsv1.StatefulSetStatus{
			ObservedGeneration: etcd.Generation, Replicas: members, ReadyReplicas: members, AvailableReplicas: members, UpdatedReplicas: members,
		}
		if !reflect.DeepEqual(etcd.Status, wanted) {
			etcd.Status, changed = wanted, true
			if err := direct.Status().Update(ctx, etcd); ignoreRace(err) != nil {
				return false, err
			}
		}
	case client.IgnoreNotFound(err) != nil:
		return false, err
	case err != nil: // its pods go with it
		err := direct.Delete(ctx, etcdPod(owner, 0), client.GracePeriodSeconds(0))
		if changed = err == nil; client.IgnoreNotFound(err) != nil {
			return false, err
		}
	}

	deployment := &appsv1.Deployment{}
	switch err := direct.Get(ctx, types.NamespacedName{Namespace: namespace, Name: controlplane.ControlPlaneName}, deployment); {
	case err == nil && deployment.DeletionTimestamp == nil:
		replicas := *deployment.Spec.Replicas
		wanted := appsv1.DeploymentStatus{
			ObservedGeneration: deployment.Generation, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas,
		}
		if !reflect.DeepEqual(deployment.Status, wanted) {
			deployment.Status, changed = wanted, true
			if err := direct.Status().Update(ctx, deployment); ignoreRace(err) != nil {
				return false, err
			}
		}
	case client.IgnoreNotFound(err) != nil:
		return false, err
	}
	return changed, nil
}

// etcdPod is a pod of the StatefulSet's, as its controller would make it.
func etcdPod(owner types.NamespacedName, ordinal int32) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: controlplane.Namespace(owner), Name: fmt.Sprintf("%s-%d", controlplane.EtcdName, ordinal),
			Labels: controlplane.ComponentLabels(owner, controlplane.EtcdName),
		},
		Spec: corev1.PodSpec{
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{Name: "etcd", Image: "registry.k8s.io/etcd:3.6", SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			}}},
		},
	}
}

// ignoreRace passes by what the manager did in the meantime.
func ignoreRace(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// inNamespaces are the kinds that a control plane's namespace may hold.
var inNamespaces = []client.ObjectList{
	&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &corev1.ServiceList{}, &corev1.SecretList{},
	&corev1.PersistentVolumeClaimList{}, &corev1.PodList{}, &corev1.ServiceAccountList{},
	&networkingv1.NetworkPolicyList{}, &policyv1.PodDisruptionBudgetList{}, &coordinationv1.LeaseList{},
}

// playNamespaces empties the control plane's namespace if it is being deleted, and lets go of it.
func playNamespaces(ctx context.Context, owner types.NamespacedName) (bool, error) {
	namespaces := kubernetes.NewForConfigOrDie(config).CoreV1().Namespaces()
	namespace, err := namespaces.Get(ctx, controlplane.Namespace(owner), metav1.GetOptions{})
	if err != nil || namespace.DeletionTimestamp == nil {
		return false, client.IgnoreNotFound(err)
	}
	for _, list := range inNamespaces {
		items := list.DeepCopyObject().(client.ObjectList)
		if err := direct.List(ctx, items, client.InNamespace(namespace.Name)); err != nil {
			return false, err
		}
		for _, item := range itemsOf(items) {
			if len(item.GetFinalizers()) > 0 {
				item.SetFinalizers(nil)
				if err := direct.Update(ctx, item); ignoreRace(err) != nil {
					return false, err
				}
			}
			if err := direct.Delete(ctx, item, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
				return false, err
			}
		}
	}
	namespace.Spec.Finalizers = nil
	_, err = namespaces.Finalize(ctx, namespace, metav1.UpdateOptions{})
	return true, ignoreRace(err)
}

// playGarbage deletes the Secrets of a tenant's namespace whose owner is gone.
func playGarbage(ctx context.Context, owner types.NamespacedName) error {
	tcp := &teapotv1.TenantControlPlane{}
	if err := direct.Get(ctx, owner, tcp); client.IgnoreNotFound(err) != nil {
		return err
	}
	secrets := &corev1.SecretList{}
	if err := direct.List(ctx, secrets, client.InNamespace(owner.Namespace)); err != nil {
		return err
	}
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		if reference := metav1.GetControllerOf(secret); reference != nil && reference.UID != tcp.UID {
			if err := direct.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
				return err
			}
		}
	}
	return nil
}

// sweep removes what a test made of a control plane that it reconciled by hand, so that
// addresses and ports of Services come back.
func sweep(ctx context.Context, t testing.TB, owner types.NamespacedName) {
	t.Helper()
	stopTenant(owner)
	tcp := &teapotv1.TenantControlPlane{ObjectMeta: metav1.ObjectMeta{Namespace: owner.Namespace, Name: owner.Name}}
	err := direct.Patch(ctx, tcp, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
	if client.IgnoreNotFound(err) == nil {
		err = direct.Delete(ctx, tcp)
	}
	if client.IgnoreNotFound(err) != nil {
		t.Error(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: controlplane.Namespace(owner)}}
	if err := direct.Delete(ctx, namespace); client.IgnoreNotFound(err) != nil {
		t.Error(err)
	}
	if _, err := playNamespaces(ctx, owner); err != nil {
		t.Error(err)
	}
}

// itemsOf returns the items of a typed list.
func itemsOf(list client.ObjectList) []client.Object {
	values := reflect.ValueOf(list).Elem().FieldByName("Items")
	items := make([]client.Object, values.Len())
	for i := range items {
		items[i] = values.Index(i).Addr().Interface().(client.Object)
	}
	return items
}

// tenantAPI plays the API server of a tenant at its endpoint: with the certificate in the
// control plane's Secret, for clients of its authority, and keeping what is applied.
type tenantAPI struct {
	owner  types.NamespacedName
	port   int32
	server *http.Server

	mu      sync.Mutex
	version int64
	objects map[string]map[string]any // by path
}

// tenants are those that are being played, by owner.
var tenants sync.Map

// playTenant serves a control plane's endpoint, once its Service has a port, until stopTenant.
// It reports whether it began to.
func playTenant(ctx context.Context, owner types.NamespacedName) (bool, error) {
	service := &corev1.Service{}
	err := direct.Get(ctx, types.NamespacedName{Namespace: controlplane.Namespace(owner), Name: controlplane.ControlPlaneName}, service)
	if err != nil || len(service.Spec.Ports) == 0 || service.Spec.Ports[0].NodePort == 0 {
		return false, client.IgnoreNotFound(err)
	}
	deployment := &appsv1.Deployment{}
	if err := direct.Get(ctx, types.NamespacedName{Namespace: service.Namespace, Name: controlplane.ControlPlaneName}, deployment); client.IgnoreNotFound(err) != nil {
		return false, err
	}
	if deployment.Spec.Replicas != nil && *deployment.Spec.Replicas == 0 {
		if sleeping := tenantOf(owner); sleeping != nil {
			_ = sleeping.server.Close()
		}
		return false, nil
	}
	api := &tenantAPI{owner: owner, port: service.Spec.Ports[0].NodePort, objects: map[string]map[string]any{}}
	if old := tenantOf(owner); old != nil {
		if old.port == api.port && !old.stopped() {
			return false, nil
		}
		stopTenant(owner)
		api.objects, api.version = old.objects, old.version
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(api.port))))
	if err != nil {
		return false, err
	}
	api.server = &http.Server{
		Handler:   api,
		TLSConfig: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return api.tls() }},
		ErrorLog:  discard,
	}
	go func() { _ = api.server.ServeTLS(listener, "", "") }()
	tenants.Store(owner, api)
	return true, nil
}

// stopped says that the server was closed, since its control plane slept.
func (a *tenantAPI) stopped() bool {
	connection, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(a.port))))
	if err == nil {
		err = connection.Close()
	}
	return err != nil
}

func tenantOf(owner types.NamespacedName) *tenantAPI {
	api, _ := tenants.Load(owner)
	found, _ := api.(*tenantAPI)
	return found
}

func stopTenant(owner types.NamespacedName) {
	if api := tenantOf(owner); api != nil {
		_ = api.server.Close()
		tenants.Delete(owner)
	}
}

func (a *tenantAPI) tls() (*tls.Config, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	secret := &corev1.Secret{}
	if err := direct.Get(ctx, types.NamespacedName{Namespace: controlplane.Namespace(a.owner), Name: controlplane.ControlPlaneName}, secret); err != nil {
		return nil, err
	}
	own, err := tls.X509KeyPair(secret.Data["apiserver.crt"], secret.Data["apiserver.key"])
	if err != nil {
		return nil, err
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(secret.Data["ca.crt"]) {
		return nil, errors.New("no authority")
	}
	return &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: authorities, ClientAuth: tls.RequireAndVerifyClientCert}, nil
}

func (a *tenantAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case r.URL.Path == "/readyz", r.URL.Path == "/livez/ping":
	case r.Method == http.MethodPatch:
		var object map[string]any
		if err := json.NewDecoder(r.Body).Decode(&object); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, http.StatusOK, a.put(r.URL.Path, object))
	case r.Method == http.MethodDelete:
		delete(a.objects, r.URL.Path)
		answer(w, http.StatusOK, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess})
	case a.objects[r.URL.Path] != nil:
		answer(w, http.StatusOK, a.objects[r.URL.Path])
	case strings.Count(strings.TrimPrefix(r.URL.Path, "/api/v1"), "/") == 1, strings.Count(r.URL.Path, "/") == 4 && strings.HasPrefix(r.URL.Path, "/apis/"):
		list := map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": map[string]any{}, "items": a.list(r.URL.Path)}
		if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList") {
			answerMetadata(w, list)
			return
		}
		answer(w, http.StatusOK, list)
	default:
		answer(w, http.StatusNotFound, apierrors.NewNotFound(corev1.Resource("things"), r.URL.Path).Status())
	}
}

// put keeps what is applied, with a new version only if it differs.
func (a *tenantAPI) put(path string, object map[string]any) map[string]any {
	u := &unstructured.Unstructured{Object: object}
	if old := a.objects[path]; old != nil {
		was := &unstructured.Unstructured{Object: old}
		u.SetUID(was.GetUID())
		u.SetResourceVersion(was.GetResourceVersion())
		if reflect.DeepEqual(u.Object, was.Object) {
			return old
		}
	}
	a.version++
	u.SetResourceVersion(strconv.FormatInt(a.version, 10))
	if u.GetUID() == "" {
		u.SetUID(types.UID("uid-" + u.GetResourceVersion()))
	}
	a.objects[path] = u.Object
	return u.Object
}

// list returns the metadata of a resource's objects in all namespaces.
func (a *tenantAPI) list(path string) []any {
	at := strings.LastIndex(path, "/")
	group, plural := path[:at], path[at+1:]
	items := []any{}
	for stored, object := range a.objects {
		rest, ok := strings.CutPrefix(stored, group+"/")
		if parts := strings.Split(rest, "/"); ok && len(parts) >= 2 && parts[len(parts)-2] == plural {
			items = append(items, map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
		}
	}
	return items
}

// answerMetadata answers as an API server does that is asked for protobuf.
func answerMetadata(w http.ResponseWriter, fields map[string]any) {
	list := &metav1.PartialObjectMetadataList{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, list); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
	_ = protobuf.NewSerializer(direct.Scheme(), direct.Scheme()).Encode(list, w)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
