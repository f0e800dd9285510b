// Package hibernation decides for the machines of a control plane that sleeps: whether they are handed
// over, so that the control plane need not be kept for them any longer (HandedOver), and whether
// Cluster API may be told to leave them alone (MayPause). It is pure. What makes them go, or switches
// them off, are controllers/workerpool and controllers/hostmachine, which follow
// teapotv1.HibernationAnnotation on the Cluster (workers/clusterapi).
package hibernation
