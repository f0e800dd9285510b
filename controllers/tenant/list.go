package tenant

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// Lists of metadata are all that a tenant at rest is asked for, and nearly all that a manager of many
// tenants at rest does. client-go's metadata client would do, for a third more of processor time
// (docs/benchmarks.md), so these few requests are made and read here.

var (
	metadataScheme = newMetadataScheme()
	// asMetadata reads what metadataAccept asks for, and the Status of what is refused.
	asMetadata = protobuf.NewSerializer(metadataScheme, metadataScheme)
)

// metadataAccept asks for a list without anything but metadata
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches).
const metadataAccept = runtime.ContentTypeProtobuf + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// answerLimit is how much of an answer is read: that of a few dozen objects, of which managedFields
// are the most.
const answerLimit = 4 << 20

func newMetadataScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(metav1.AddMetaToScheme(scheme))
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return scheme
}

// list reads the metadata of a resource in all namespaces. Without a resource version, and none is ever
// asked for, the answer is as new as etcd
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list).
func (c *connection) list(ctx context.Context, resource schema.GroupVersionResource, query string) (*metav1.PartialObjectMetadataList, error) {
	root := "/apis/" + resource.Group
	if resource.Group == "" {
		root = "/api"
	}
	response, body, err := c.do(ctx, root+"/"+resource.Version+"/"+resource.Resource, query, metadataAccept, askTimeout, answerLimit)
	if err != nil {
		return nil, err
	}
	answer, _, err := asMetadata.Decode(body, nil, nil)
	switch typed := answer.(type) {
	case *metav1.PartialObjectMetadataList:
		return typed, nil
	case *metav1.Status:
		return nil, apierrors.FromObject(typed)
	}
	if response.StatusCode != http.StatusOK {
		return nil, apierrors.NewGenericServerResponse(response.StatusCode, http.MethodGet, resource.GroupResource(), "", string(body), 0, true)
	}
	return nil, fmt.Errorf("the list of %s is not readable (%s): %w", resource.Resource, response.Header.Get("Content-Type"), err)
}
