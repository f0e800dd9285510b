package faults

import "k8s.io/client-go/tools/events"

// Told takes the events that a recorder has kept.
func Told(recorder *events.FakeRecorder) []string {
	var all []string
	for {
		select {
		case event := <-recorder.Events:
			all = append(all, event)
		default:
			return all
		}
	}
}
