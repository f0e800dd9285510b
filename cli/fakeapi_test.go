package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	teapotv1 "github.com/teapot-cloud/teapot/api/v1alpha1"
)

// fakeAPI is the part of a management cluster's API that the commands use, over HTTP: objects
// with list, watch and writes (fakewrites_test.go), discovery, tables and port-forward.
type fakeAPI struct {
	t      *testing.T
	server *httptest.Server
	// kubeconfig is a file that leads here, with a context named "test".
	kubeconfig string

	mu       sync.Mutex
	revision int64
	objects  map[string]*unstructured.Unstructured
	// removed are objects that are gone, with the revision at which they went: a watch from an
	// earlier one is told of them.
	removed  map[string]*unstructured.Unstructured
	watchers map[*fakeWatcher]bool
	// finalizing objects stay when they are deleted, with a deletion time stamp.
	finalizing bool
	// installed says whether Teapot's kinds are known, and the others that Metal3's and Cluster
	// API's are not.
	installed, withoutMetal3, withoutClusterAPI bool
	// conflicts is how many patches are refused because the object was changed meanwhile.
	conflicts int
	// refuse answers a request with an error.
	refuse func(r *http.Request) *apierrors.StatusError
	// mayForward answers access reviews.
	mayForward bool
	// spdyOnly refuses WebSockets, as older API servers do.
	spdyOnly bool
	backends map[string]*fakePod
	// logs are what containers said, by pod/container, and pod/container/previous.
	logs map[string]string
}

type fakeWatcher struct {
	resource, namespace string
	match               func(*unstructured.Unstructured) bool
	events              chan metav1.WatchEvent
}

func newFakeAPI(t *testing.T, objects ...runtime.Object) *fakeAPI {
	t.Helper()
	f := &fakeAPI{
		t: t, installed: true, mayForward: true,
		objects: map[string]*unstructured.Unstructured{}, removed: map[string]*unstructured.Unstructured{}, watchers: map[*fakeWatcher]bool{}, backends: map[string]*fakePod{},
	}
	f.server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.server.CloseClientConnections()
		f.server.Close()
	})
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: f.server.URL}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{Token: "secret"}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test", Namespace: "tenants"}
	config.CurrentContext = "test"
	f.kubeconfig = filepath.Join(t.TempDir(), "management.kubeconfig")
	if err := clientcmd.WriteToFile(*config, f.kubeconfig); err != nil {
		t.Fatal(err)
	}
	f.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "tenants"}})
	for _, object := range objects {
		f.put(object)
	}
	return f
}

// resources are the kinds that there are.
var resources = func() map[string]schema.GroupVersionKind {
	kinds := map[string]schema.GroupVersionKind{}
	for _, kind := range slices.Concat([]schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("Event"),
		corev1.SchemeGroupVersion.WithKind("Namespace"),
		corev1.SchemeGroupVersion.WithKind("Node"),
		corev1.SchemeGroupVersion.WithKind("Secret"),
	}, subjectKinds(), hostKinds, machineKinds, diagnosedKinds) {
		resource, _ := meta.UnsafeGuessKindToResource(kind)
		kinds[resource.Resource] = kind
	}
	return kinds
}()

// apiPrefix is what comes before namespaces and resources in a path.
var apiPrefix = regexp.MustCompile(`^/(api/v1|apis/[^/]+/[^/]+)/`)

// put creates or changes an object, as a controller would.
func (f *fakeAPI) put(object runtime.Object) {
	f.t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		f.t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	kinds, _, err := scheme.ObjectKinds(object)
	if err != nil {
		f.t.Fatal(err)
	}
	u.SetGroupVersionKind(kinds[0])
	f.mu.Lock()
	defer f.mu.Unlock()
	resource, _ := meta.UnsafeGuessKindToResource(kinds[0])
	f.store(resource.Resource, u)
}

func (f *fakeAPI) store(resource string, u *unstructured.Unstructured) {
	f.revision++
	u.SetResourceVersion(strconv.FormatInt(f.revision, 10))
	key := resource + "/" + u.GetNamespace() + "/" + u.GetName()
	event := watch.Added
	if f.objects[key] != nil {
		event = watch.Modified
	}
	f.objects[key] = u
	f.tell(resource, event, u)
}

func (f *fakeAPI) remove(resource, namespace, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := resource + "/" + namespace + "/" + name
	if u := f.objects[key]; u != nil {
		delete(f.objects, key)
		f.revision++
		u = u.DeepCopy()
		u.SetResourceVersion(strconv.FormatInt(f.revision, 10))
		f.removed[key] = u
		f.tell(resource, watch.Deleted, u)
	}
}

func (f *fakeAPI) tell(resource string, event watch.EventType, u *unstructured.Unstructured) {
	for w := range f.watchers {
		if w.resource == resource && (w.namespace == "" || w.namespace == u.GetNamespace()) && w.match(u) {
			w.events <- metav1.WatchEvent{Type: string(event), Object: runtime.RawExtension{Object: u.DeepCopy()}}
		}
	}
}

func (f *fakeAPI) has(resource, namespace, name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.objects[resource+"/"+namespace+"/"+name] != nil
}

// stored returns a copy of an object, nil if there is none.
func (f *fakeAPI) stored(resource, namespace, name string) *unstructured.Unstructured {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.objects[resource+"/"+namespace+"/"+name]; u != nil {
		return u.DeepCopy()
	}
	return nil
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.refuse != nil {
		if refusal := f.refuse(r); refusal != nil {
			respond(w, int(refusal.ErrStatus.Code), refusal.ErrStatus)
			return
		}
	}
	if body := f.discovery(r.URL.Path); body != nil {
		respond(w, http.StatusOK, body)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
		respond(w, http.StatusCreated, authorizationv1.SelfSubjectAccessReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectAccessReview"},
			Status:   authorizationv1.SubjectAccessReviewStatus{Allowed: f.mayForward},
		})
		return
	}
	path := apiPrefix.ReplaceAllString(r.URL.Path, "")
	namespace := ""
	if parts := strings.SplitN(path, "/", 3); parts[0] == "namespaces" && len(parts) == 3 {
		namespace, path = parts[1], parts[2]
	}
	resource, name, _ := strings.Cut(path, "/")
	name, sub, _ := strings.Cut(name, "/")
	if group := resources[resource].Group; group == controlPlaneResource.Group && !f.installed || group == hostKinds[0].Group && f.withoutMetal3 || group == machineKind.Group && f.withoutClusterAPI {
		http.NotFound(w, r)
		return
	}
	switch {
	case sub == "portforward":
		f.portForward(w, r, name)
	case sub == "log":
		f.log(w, r, name)
	case r.Method == http.MethodGet && name == "" && r.URL.Query().Get("watch") == "true":
		f.watch(w, r, resource, namespace)
	case r.Method == http.MethodGet && name == "":
		f.list(w, r, resource, namespace)
	case r.Method == http.MethodGet:
		if u := f.stored(resource, namespace, name); u != nil {
			respond(w, http.StatusOK, asTable(r, u, *u))
			return
		}
		notFound(w, resource, name)
	case r.Method == http.MethodPost:
		f.create(w, r, resource, namespace)
	case r.Method == http.MethodPatch:
		f.patch(w, r, resource, namespace, name)
	case r.Method == http.MethodDelete:
		f.delete(w, resource, namespace, name)
	default:
		http.Error(w, "unexpected "+r.Method, http.StatusMethodNotAllowed)
	}
}

// log answers with what a container said. It knows no limits.
func (f *fakeAPI) log(w http.ResponseWriter, r *http.Request, pod string) {
	key := pod + "/" + r.URL.Query().Get("container")
	if r.URL.Query().Get("previous") == "true" {
		key += "/previous"
	}
	text, ok := f.logs[key]
	if !ok {
		respond(w, http.StatusBadRequest, apierrors.NewBadRequest("container of "+key+" is waiting to start: ContainerCreating").ErrStatus)
		return
	}
	_, _ = io.WriteString(w, text)
}

func notFound(w http.ResponseWriter, resource, name string) {
	respond(w, http.StatusNotFound, apierrors.NewNotFound(schema.GroupResource{Group: resources[resource].Group, Resource: resource}, name).ErrStatus)
}

// matcher reads the selectors of a request.
func matcher(r *http.Request) func(*unstructured.Unstructured) bool {
	byLabel, _ := labels.Parse(r.URL.Query().Get("labelSelector"))
	byField, _ := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
	return func(u *unstructured.Unstructured) bool {
		kind, _, _ := unstructured.NestedString(u.Object, "involvedObject", "kind")
		name, _, _ := unstructured.NestedString(u.Object, "involvedObject", "name")
		return byLabel.Matches(labels.Set(u.GetLabels())) && byField.Matches(fields.Set{
			"metadata.name": u.GetName(), "involvedObject.kind": kind, "involvedObject.name": name,
		})
	}
}

func (f *fakeAPI) list(w http.ResponseWriter, r *http.Request, resource, namespace string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := &unstructured.UnstructuredList{}
	kind := resources[resource]
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	list.SetResourceVersion(strconv.FormatInt(f.revision, 10))
	match := matcher(r)
	for _, key := range sortedKeys(f.objects) {
		u := f.objects[key]
		if strings.HasPrefix(key, resource+"/") && (namespace == "" || namespace == u.GetNamespace()) && match(u) {
			list.Items = append(list.Items, *u)
		}
	}
	respond(w, http.StatusOK, asTable(r, list, list.Items...))
}

func (f *fakeAPI) watch(w http.ResponseWriter, r *http.Request, resource, namespace string) {
	watcher := &fakeWatcher{resource: resource, namespace: namespace, match: matcher(r), events: make(chan metav1.WatchEvent, 100)}
	since, _ := strconv.ParseInt(r.URL.Query().Get("resourceVersion"), 10, 64)
	f.mu.Lock()
	for event, objects := range map[watch.EventType]map[string]*unstructured.Unstructured{watch.Added: f.objects, watch.Deleted: f.removed} {
		for key, u := range objects {
			if changed, _ := strconv.ParseInt(u.GetResourceVersion(), 10, 64); strings.HasPrefix(key, resource+"/"+namespace) && changed > since && watcher.match(u) {
				watcher.events <- metav1.WatchEvent{Type: string(event), Object: runtime.RawExtension{Object: u.DeepCopy()}}
			}
		}
	}
	f.watchers[watcher] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.watchers, watcher)
		f.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case event := <-watcher.events:
			if err := json.NewEncoder(w).Encode(event); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// asTable answers as a table where one is asked for, with the columns name and Ready.
func asTable(r *http.Request, plain any, items ...unstructured.Unstructured) any {
	if !strings.Contains(r.Header.Get("Accept"), "as=Table") {
		return plain
	}
	table := metav1.Table{
		TypeMeta:          metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "Table"},
		ColumnDefinitions: []metav1.TableColumnDefinition{{Name: "Name", Type: "string"}, {Name: "Version", Type: "string"}},
	}
	for i := range items {
		version, _, _ := unstructured.NestedString(items[i].Object, "spec", "version")
		table.Rows = append(table.Rows, metav1.TableRow{
			Cells:  []any{items[i].GetName(), version},
			Object: runtime.RawExtension{Object: &items[i]},
		})
	}
	return table
}

func (f *fakeAPI) discovery(path string) any {
	group := metav1.APIGroup{Name: teapotv1.GroupVersion.Group, Versions: []metav1.GroupVersionForDiscovery{{GroupVersion: teapotv1.GroupVersion.String(), Version: "v1alpha1"}}}
	group.PreferredVersion = group.Versions[0]
	switch path {
	case "/version":
		return version.Info{GitVersion: "v1.36.3"}
	case "/api":
		return metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
	case "/apis":
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}}
		if f.installed {
			list.Groups = append(list.Groups, group)
		}
		return list
	case "/api/v1":
		return metav1.APIResourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: "v1"}
	case "/apis/teapot.dev/v1alpha1":
		if !f.installed {
			return nil
		}
		return metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: teapotv1.GroupVersion.String(),
			APIResources: []metav1.APIResource{{
				Name: "tenantcontrolplanes", SingularName: "tenantcontrolplane", Kind: controlPlaneKind.Kind,
				Namespaced: true, ShortNames: []string{"tcp"}, Verbs: metav1.Verbs{"get", "list", "watch"},
			}, {
				Name: "machineclaims", SingularName: "machineclaim", Kind: "MachineClaim",
				Namespaced: true, ShortNames: []string{"mc"}, Verbs: metav1.Verbs{"get", "list", "watch"},
			}, {
				Name: "workerpools", SingularName: "workerpool", Kind: "WorkerPool",
				Namespaced: true, ShortNames: []string{"wp"}, Verbs: metav1.Verbs{"get", "list", "watch"},
			}},
		}
	}
	return nil
}

func respond(w http.ResponseWriter, code int, body any) {
	if status, ok := body.(metav1.Status); ok {
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		body = status
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(fmt.Sprintf("respond: %v", err))
	}
}
