package thousand

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// tenantAPI stands for one tenant's API server: it is ready, has one Node, and keeps what is
// applied to it. It knows the verbs that Teapot's manager uses, in the forms that it asks for.
// It neither checks nor defaults what is applied, and takes every field to be the applier's:
// there is one. A limit on a list is not heeded.
type tenantAPI struct {
	owner types.NamespacedName
	tls   *tls.Config
	// polled counts the lists, which is what a tenant at rest is asked for.
	polled atomic.Int64

	mu      sync.Mutex
	version int
	objects map[objectKey]*stored
}

type objectKey struct {
	schema.GroupResource
	types.NamespacedName
}

// stored is an object as it is answered, and as it was applied.
type stored struct {
	object  *unstructured.Unstructured
	applied []byte
}

// newTenantAPI returns the API server of a tenant that has a machine.
func newTenantAPI(owner types.NamespacedName, serving *tls.Config) *tenantAPI {
	machine := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Node"}}
	machine.SetName("machine")
	machine.SetUID(uuid.NewUUID())
	key := objectKey{schema.GroupResource{Resource: "nodes"}, types.NamespacedName{Name: machine.GetName()}}
	return &tenantAPI{owner: owner, tls: serving, objects: map[objectKey]*stored{key: {object: machine}}}
}

var (
	requests = &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

	answers       = metaScheme()
	asJSON        = json.NewSerializerWithOptions(json.DefaultMetaFactory, answers, answers, json.SerializerOptions{})
	asProtobuf    = protobuf.NewSerializer(answers, answers)
	mediaProtobuf = runtime.ContentTypeProtobuf
)

func metaScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(metav1.AddMetaToScheme(scheme))
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return scheme
}

func (a *tenantAPI) serveHTTP(w http.ResponseWriter, r *http.Request) {
	info, err := requests.NewRequestInfo(r)
	if err != nil {
		fail(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	if !info.IsResourceRequest {
		_, _ = io.WriteString(w, "ok") // /readyz, /livez/ping; who has gone needs no answer
		return
	}
	resource := schema.GroupResource{Group: info.APIGroup, Resource: info.Resource}
	key := objectKey{resource, types.NamespacedName{Namespace: info.Namespace, Name: info.Name}}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch info.Verb {
	case "list":
		a.list(w, r, info)
	case "get":
		found := a.objects[key]
		if found == nil {
			fail(w, apierrors.NewNotFound(resource, info.Name))
			return
		}
		answer(w, r, found.object)
	case "patch":
		a.apply(w, r, key)
	case "delete":
		if a.objects[key] == nil {
			fail(w, apierrors.NewNotFound(resource, info.Name))
			return
		}
		a.version++
		delete(a.objects, key)
		answer(w, r, &metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess})
	default:
		fail(w, apierrors.NewMethodNotSupported(resource, info.Verb))
	}
}

// list answers metadata, the one form in which the manager lists.
func (a *tenantAPI) list(w http.ResponseWriter, r *http.Request, info *request.RequestInfo) {
	selector, err := labels.Parse(info.LabelSelector)
	if err != nil {
		fail(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	a.polled.Add(1)
	list := &metav1.PartialObjectMetadataList{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"},
		ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(a.version)},
	}
	for key, found := range a.objects {
		if key.Group == info.APIGroup && key.Resource == info.Resource &&
			(info.Namespace == "" || key.Namespace == info.Namespace) && selector.Matches(labels.Set(found.object.GetLabels())) {
			item := meta.AsPartialObjectMetadata(found.object)
			item.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("PartialObjectMetadata"))
			list.Items = append(list.Items, *item)
		}
	}
	slices.SortFunc(list.Items, func(x, y metav1.PartialObjectMetadata) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
	answer(w, r, list)
}

// apply keeps the object as it is applied. Applying the same again changes nothing.
func (a *tenantAPI) apply(w http.ResponseWriter, r *http.Request, key objectKey) {
	if kind := r.Header.Get("Content-Type"); kind != string(types.ApplyYAMLPatchType) {
		fail(w, apierrors.NewBadRequest(fmt.Sprintf("patches of type %q are not known here", kind)))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fail(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	known := a.objects[key]
	if known != nil && bytes.Equal(known.applied, body) {
		answer(w, r, known.object)
		return
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(body); err != nil {
		fail(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	now := metav1.Now()
	if known != nil {
		object.SetUID(known.object.GetUID())
		object.SetCreationTimestamp(known.object.GetCreationTimestamp())
	} else {
		object.SetUID(uuid.NewUUID())
		object.SetCreationTimestamp(now)
	}
	a.version++
	object.SetResourceVersion(strconv.Itoa(a.version))
	object.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: r.URL.Query().Get("fieldManager"), Operation: metav1.ManagedFieldsOperationApply,
		APIVersion: object.GetAPIVersion(), Time: &now, FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte("{}")},
	}})
	a.objects[key] = &stored{object: object, applied: body}
	answer(w, r, object)
}

// answer encodes what kube-apiserver would: metadata as protobuf where it is accepted,
// anything else as JSON.
func answer(w http.ResponseWriter, r *http.Request, object runtime.Object) {
	accept := r.Header.Get("Accept")
	if whole, ok := object.(*unstructured.Unstructured); ok && strings.Contains(accept, "as=PartialObjectMetadata") {
		partial := meta.AsPartialObjectMetadata(whole)
		partial.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("PartialObjectMetadata"))
		object = partial
	}
	var encoder runtime.Encoder = asJSON
	media := runtime.ContentTypeJSON
	if _, ok := object.(*unstructured.Unstructured); !ok && strings.HasPrefix(accept, mediaProtobuf) {
		encoder, media = asProtobuf, mediaProtobuf
	}
	var encoded bytes.Buffer
	if err := encoder.Encode(object, &encoded); err != nil {
		fail(w, apierrors.NewInternalError(err))
		return
	}
	w.Header().Set("Content-Type", media)
	_, _ = w.Write(encoded.Bytes()) // who has gone needs no answer
}

func fail(w http.ResponseWriter, err *apierrors.StatusError) {
	status := err.Status()
	status.APIVersion, status.Kind = "v1", "Status"
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	w.WriteHeader(int(status.Code))
	_ = asJSON.Encode(&status, w) // who has gone needs no answer
}
