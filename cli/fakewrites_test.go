package cli

import (
	"encoding/json"
	"io"
	"net/http"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
)

func (f *fakeAPI) create(w http.ResponseWriter, r *http.Request, resource, namespace string) {
	body, _ := io.ReadAll(r.Body)
	object, _, err := serializer.NewCodecFactory(scheme).UniversalDeserializer().Decode(body, nil, &unstructured.Unstructured{})
	if err != nil {
		f.t.Errorf("create %s: %v: %s", resource, err, body)
	}
	content, _ := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	u := &unstructured.Unstructured{Object: content}
	if f.has(resource, namespace, u.GetName()) {
		respond(w, http.StatusConflict, apierrors.NewAlreadyExists(controlPlaneResource.GroupResource(), u.GetName()).ErrStatus)
		return
	}
	var manifest unstructured.Unstructured
	if err := json.Unmarshal(body, &manifest.Object); err == nil {
		u = &manifest
	}
	u.SetUID("created")
	u.SetGeneration(1)
	if r.URL.Query().Get("dryRun") == "" {
		f.mu.Lock()
		f.store(resource, u)
		f.mu.Unlock()
	}
	respond(w, http.StatusCreated, u)
}

// patch merges, and refuses another version than the one that the patch names, or another object than
// that of the UID that it names. It has to name one of them.
func (f *fakeAPI) patch(w http.ResponseWriter, r *http.Request, resource, namespace, name string) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.objects[resource+"/"+namespace+"/"+name]
	if u == nil {
		notFound(w, resource, name)
		return
	}
	if kind := r.Header.Get("Content-Type"); kind != string(types.MergePatchType) {
		f.t.Errorf("patch %s: %s", name, kind)
	}
	var change unstructured.Unstructured
	if err := json.Unmarshal(body, &change.Object); err != nil {
		f.t.Errorf("patch %s: %v: %s", name, err, body)
	}
	same := change.GetResourceVersion() == u.GetResourceVersion() || change.GetResourceVersion() == "" && change.GetUID() == u.GetUID()
	if f.conflicts > 0 || !same {
		f.conflicts--
		respond(w, http.StatusConflict, apierrors.NewConflict(schema.GroupResource{Group: resources[resource].Group, Resource: resource}, name, nil).ErrStatus)
		return
	}
	before, _ := json.Marshal(u.Object)
	after, err := jsonpatch.MergePatch(before, body)
	if err != nil {
		f.t.Errorf("patch %s: %v: %s", name, err, body)
	}
	changed := &unstructured.Unstructured{}
	if err := json.Unmarshal(after, &changed.Object); err != nil {
		f.t.Error(err)
	}
	if !equality.Semantic.DeepEqual(u.Object["spec"], changed.Object["spec"]) {
		changed.SetGeneration(u.GetGeneration() + 1)
	}
	f.store(resource, changed)
	respond(w, http.StatusOK, changed)
}

func (f *fakeAPI) delete(w http.ResponseWriter, resource, namespace, name string) {
	u := f.stored(resource, namespace, name)
	if u == nil {
		notFound(w, resource, name)
		return
	}
	if f.finalizing {
		now := metav1.Now()
		u.SetDeletionTimestamp(&now)
		f.mu.Lock()
		f.store(resource, u)
		f.mu.Unlock()
	} else {
		f.remove(resource, namespace, name)
	}
	respond(w, http.StatusOK, metav1.Status{Status: metav1.StatusSuccess})
}
