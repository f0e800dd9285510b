// Package hibernation decides whether a control plane sleeps: a pure function of what was asked for,
// what was decided before, what is known of its use, and the time. The controllers act on the decision.
//
// Policies are asked in the order of precedence (policies.go), and the first that has an opinion decides:
//
//  1. Deletion leaves the state as it is.
//  2. A control plane whose machines are kept is woken for an hour after 30 days, to renew their
//     certificates.
//  3. An operation in progress is finished before what is awake goes to sleep. It wakes nothing, and
//     one that has never run sleeps at once.
//  4. A user's request wakes, and keeps awake until nobody has used the control plane for idleAfter. It
//     counts if it came after the control plane fell asleep, and after `teapot hibernate`.
//  5. enabled puts to sleep.
//  6. The last edge of the schedules puts to sleep, if it came after `teapot resume` and after the
//     control plane was made. An edge that was missed is caught up thereby.
//  7. What nobody has used for idleAfter sleeps, and stays asleep until a user, a schedule or
//     `teapot resume` wakes it.
//
// Decisions are stable: what was put to sleep is not woken by having slept, and with the new record the
// same decision is made again. Between two looks nothing is missed if one looks again whenever the input
// changes and after Decision.RecheckAfter.
//
// Time zones are read by time.LoadLocation: a binary in an image without them imports time/tzdata.
package hibernation
