package ironic

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
)

const (
	// microversion is the only one that is served (see the package's documentation).
	microversion = "1.89"
	// versionHeader asks for a microversion, and says which one was used.
	versionHeader = "X-OpenStack-Ironic-API-Version"
	// maxBody bounds a request's body: user data has at most a MiB in a Secret.
	maxBody = 16 << 20
)

// apiError is an error that the client is told.
type apiError struct {
	code    int
	message string
}

// Error implements error.
func (e *apiError) Error() string { return e.message }

// refuse returns an error with a code.
func refuse(code int, format string, args ...any) error {
	return &apiError{code: code, message: fmt.Sprintf(format, args...)}
}

// invalid is Ironic's Invalid and what is derived from it.
func invalid(format string, args ...any) error {
	return refuse(http.StatusBadRequest, format, args...)
}

// conflict is Ironic's Conflict and what is derived from it.
func conflict(format string, args ...any) error {
	return refuse(http.StatusConflict, format, args...)
}

// missing is Ironic's NodeNotFound.
func missing(ident string) error {
	return refuse(http.StatusNotFound, "Node %s could not be found.", ident)
}

// handlerFunc answers a request with a body, or none if it is nil.
type handlerFunc func(r *http.Request) (code int, body any, err error)

// Handler serves the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	discovery := func(pattern string, f handlerFunc) { mux.Handle(pattern, s.answer(f)) }
	versioned := func(pattern string, f handlerFunc) { mux.Handle(pattern, s.negotiate(s.answer(f))) }

	discovery("GET /{$}", s.root)
	discovery("GET /v1", s.v1)
	discovery("GET /v1/{$}", s.v1)
	versioned("GET /v1/drivers", s.listDrivers)
	versioned("GET /v1/drivers/{driver}", s.getDriver)

	versioned("GET /v1/nodes", s.listNodes)
	versioned("GET /v1/nodes/detail", s.listNodes)
	versioned("POST /v1/nodes", s.createNode)
	versioned("GET /v1/nodes/{node}", s.getNode)
	versioned("PATCH /v1/nodes/{node}", s.patchNode)
	versioned("DELETE /v1/nodes/{node}", s.deleteNode)
	versioned("GET /v1/nodes/{node}/validate", s.validateNode)
	versioned("PUT /v1/nodes/{node}/maintenance", s.setMaintenance)
	versioned("DELETE /v1/nodes/{node}/maintenance", s.unsetMaintenance)
	versioned("PUT /v1/nodes/{node}/states/provision", s.setProvisionState)
	versioned("PUT /v1/nodes/{node}/states/power", s.setPowerState)
	versioned("PUT /v1/nodes/{node}/states/raid", s.setRAID)
	versioned("GET /v1/nodes/{node}/states", s.getNode)
	versioned("GET /v1/nodes/{node}/inventory", s.getInventory)
	versioned("GET /v1/nodes/{node}/bios", s.listBIOS)
	versioned("GET /v1/nodes/{node}/firmware", s.listFirmware)
	versioned("GET /v1/nodes/{node}/ports", s.listPorts)

	versioned("GET /v1/ports", s.listPorts)
	versioned("GET /v1/ports/detail", s.listPorts)
	versioned("POST /v1/ports", s.createPort)
	versioned("GET /v1/ports/{port}", s.getPort)
	versioned("DELETE /v1/ports/{port}", s.deletePort)

	versioned("/", func(r *http.Request) (int, any, error) {
		return 0, nil, refuse(http.StatusNotFound, "%s %s is not served by the machine room's Ironic.", r.Method, r.URL.Path)
	})
	return s.fence(mux)
}

// fence keeps the machines out: what a tenant runs is not on the network of management, where
// Ironic is.
func (s *Server) fence(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && s.room.IsMachine(from.Addr().Unmap()) {
			http.Error(w, "machines are not on the network of management", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// negotiate refuses every microversion but ours. A client that asks for none would get the
// oldest of a real Ironic's, which is not served.
func (s *Server) negotiate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch wanted := r.Header.Get(versionHeader); wanted {
		case microversion, "latest":
			next.ServeHTTP(w, r)
		default:
			write(w, 0, nil, refuse(http.StatusNotAcceptable,
				"Version %q was requested in header %s but is not supported. This endpoint supports %s only.", wanted, versionHeader, microversion))
		}
	})
}

// answer turns a handlerFunc into a handler.
func (s *Server) answer(f handlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		code, body, err := f(r)
		if known := (*apiError)(nil); err != nil && !errors.As(err, &known) {
			s.log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		write(w, code, body, err)
	})
}

// write writes an answer, an error as Ironic does: a JSON text inside of a JSON object.
func write(w http.ResponseWriter, code int, body any, err error) {
	w.Header().Set("X-OpenStack-Ironic-API-Minimum-Version", microversion)
	w.Header().Set("X-OpenStack-Ironic-API-Maximum-Version", microversion)
	w.Header().Set(versionHeader, microversion)
	if err != nil {
		code = http.StatusInternalServerError
		if known := (*apiError)(nil); errors.As(err, &known) {
			code = known.code
		}
		faultCode := "Client"
		if code >= http.StatusInternalServerError {
			faultCode = "Server"
		}
		inner, merr := json.Marshal(map[string]any{"faultcode": faultCode, "faultstring": err.Error(), "debuginfo": nil})
		if merr != nil {
			inner = []byte(err.Error())
		}
		body = map[string]string{"error_message": string(inner)}
	}
	if body == nil {
		w.WriteHeader(code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// A client that has gone away is no error of ours.
	_ = json.NewEncoder(w).Encode(body)
}

// decode reads a request's body.
func decode(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return invalid("Invalid input for the request's body: %s", err)
	}
	return nil
}

// versionDocument describes API version 1.
func versionDocument(r *http.Request) map[string]any {
	return map[string]any{
		"id": "v1", "status": "CURRENT", "min_version": microversion, "version": microversion,
		"links": []link{{Href: base(r) + "/v1/", Rel: "self"}},
	}
}

// base is the URL under which the client reached us.
func base(r *http.Request) string { return "http://" + r.Host }

// root answers GET /.
func (s *Server) root(r *http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{
		"name":            "OpenStack Ironic API",
		"description":     "The machine room's Ironic: a test harness that stands for hardware.",
		"default_version": versionDocument(r),
		"versions":        []any{versionDocument(r)},
	}, nil
}

// v1 answers GET /v1/.
func (s *Server) v1(r *http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{
		"id": "v1", "version": versionDocument(r),
		"nodes":   []link{{Href: base(r) + "/v1/nodes/", Rel: "self"}},
		"ports":   []link{{Href: base(r) + "/v1/ports/", Rel: "self"}},
		"drivers": []link{{Href: base(r) + "/v1/drivers/", Rel: "self"}},
	}, nil
}

// drivers are the hardware types that are served: their names in driver_info begin with these.
var drivers = []string{"ipmi", "redfish"}

// driverDocument describes a hardware type.
func driverDocument(r *http.Request, name string) map[string]any {
	return map[string]any{
		"name": name, "hosts": []string{conductor}, "type": "dynamic",
		"links":                        []link{{Href: base(r) + "/v1/drivers/" + name, Rel: "self"}},
		"default_deploy_interface":     "direct",
		"enabled_deploy_interfaces":    []string{"direct"},
		"default_inspect_interface":    "agent",
		"enabled_inspect_interfaces":   []string{"agent"},
		"default_power_interface":      managementOf(name),
		"enabled_power_interfaces":     []string{managementOf(name)},
		"default_management_interface": managementOf(name),
	}
}

// listDrivers answers GET /v1/drivers.
func (s *Server) listDrivers(r *http.Request) (int, any, error) {
	list := []any{}
	for _, name := range drivers {
		list = append(list, driverDocument(r, name))
	}
	return http.StatusOK, map[string]any{"drivers": list}, nil
}

// getDriver answers GET /v1/drivers/{driver}.
func (s *Server) getDriver(r *http.Request) (int, any, error) {
	for _, name := range drivers {
		if name == r.PathValue("driver") {
			return http.StatusOK, driverDocument(r, name), nil
		}
	}
	return 0, nil, refuse(http.StatusNotFound, "Could not find the following driver(s) or hardware type(s): %s.", r.PathValue("driver"))
}
