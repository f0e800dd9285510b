// Package gateway and the packages below it are the shared entrance by name: what cmd/teapot-gateway
// runs. Users of all control planes come in at one address; the name that a TLS client asks for says
// whom it wants. TLS is not ended here, so the gateway has no keys and sees nothing of what is said.
//
//   - hello reads a TLS ClientHello.
//   - routes is the table of control planes, kept from the Leases that the controllers write (package
//     controlplane/route), and writes on them who is connected and that somebody asks for a control
//     plane that sleeps. These are the gateway's only rights in the management cluster.
//   - proxy accepts connections, has limits for everything, holds connections to a control plane that
//     does not serve yet, and passes them on.
//   - relay passes bytes between two connections.
//
// What a connection meets:
//
//	accepted ─▶ [PROXY protocol header] ─▶ ClientHello ─▶ control plane ─┬─ awake: dialled, passed on
//	                                                                     ├─ asleep: held, a wake is asked for
//	                                                                     └─ asleep, wakes for nobody: refused
//
// A held connection is passed on when the API server says at /readyz that it is ready, and closed
// without a byte when it has waited for 8.5 seconds: client-go then tries again what it may repeat. All
// else that is refused hears why in a TLS alert, at once: unrecognized_name for a name that no control
// plane has, access_denied if the control plane sleeps and requests do not wake it (kubectl says
// "remote error: tls: access denied", which no API server makes it say, and does not try again),
// internal_error if the control plane has as many connections as it may have.
//
// A gateway has no state but what it can read again, so there may be any number of them. What one knows
// of a client (that it was connected when its control plane went down, and so does not wake it for a
// while) counts with that one only: the Service in front sends a client to the same one each time
// (session affinity).
package gateway
