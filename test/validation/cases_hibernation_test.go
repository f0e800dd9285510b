package validation

import (
	"fmt"
	"strings"
)

// badHibernation is every bad input of when a control plane sleeps, and of the status that says
// whether it does.
func badHibernation() (cases []badInput) {
	bad := func(name, fields, at, want string) {
		cases = append(cases, badInput{name: name, spec: inField("hibernation", "{"+fields+"}"), field: "spec.hibernation." + at, want: want})
	}
	schedule := func(name, fields, at, want string) {
		bad(name, "schedules: [{"+fields+"}]", "schedules[0]."+at, want)
	}
	bad("a word for asleep", "enabled: asleep", "enabled", "must be of type boolean")
	bad("machines that are sold meanwhile", "workers: Sell", "workers", `supported values: "Release", "PowerOff", "Keep"`)

	const wantIdle = "must be a duration between 2m and 720h (30 days), for example 1h"
	for _, c := range []struct{ name, idleAfter string }{
		{"idle at once", "0s"},
		{"idle after too little", "119s"},
		{"idle after too much", "720h1s"},
		{"idle after a number", `"3600"`},
		{"idle after days", "7d"},
		{"idle after a fraction", "1.5h"},
		{"idle after less than nothing", "-1h"},
		{"idle after a word", "never"},
		{"idle after nothing said", `""`},
		{"idle after more than can be counted", strings.Repeat("99999h", 30)},
	} {
		bad(c.name, "idleAfter: "+c.idleAfter, "idleAfter", wantIdle)
	}
	bad("idle after seconds", "idleAfter: 3600", "idleAfter", "must be of type string")
	bad("woken without an end", "wakeOnRequest: true", "wakeOnRequest", "needs idleAfter, which says how long a control plane stays awake after a request; set spec.hibernation.idleAfter, for example 1h")

	schedule("a schedule of nothing", "days: [Monday]", "hibernateAt", "give hibernateAt, resumeAt or both: a schedule without either does nothing")
	schedule("a schedule that comes back at once", `hibernateAt: "20:00", resumeAt: "20:00"`, "resumeAt", "must differ from hibernateAt")
	for _, at := range []string{"hibernateAt", "resumeAt"} {
		const want = "must be a time of day from 00:00 to 23:59, for example"
		for _, c := range []struct{ name, time string }{
			{"midnight at the end of a day", `"24:00"`},
			{"an hour of one digit", `"8:00"`},
			{"minutes beyond the hour", `"20:60"`},
			{"an hour alone", `"20"`},
			{"an hour of the afternoon", `"8 pm"`},
			{"no time", `""`},
		} {
			schedule(c.name+" for "+at, at+": "+c.time, at, want)
		}
		schedule("seconds for "+at, at+`: "20:00:00"`, at, "may not be more than 5")
		// YAML reads 20:00 without quotes as a number of base 60.
		schedule("a number for "+at, at+": 1200", at, "must be of type string")
	}
	schedule("no days", `hibernateAt: "20:00", days: []`, "days", "should have at least 1 items")
	schedule("a day in short", `hibernateAt: "20:00", days: [Mon]`, "days[0]", `supported values: "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"`)
	schedule("a day twice", `hibernateAt: "20:00", days: [Monday, Monday]`, "days[1]", "Duplicate value")

	const wantZone = "must be the name of a time zone of the IANA database, for example Europe/Berlin"
	for _, c := range []struct{ name, zone string }{
		{"a city that has no time zone", "Europe/Hamburg"},
		{"a time zone in lower case", "europe/berlin"},
		{"an abbreviation of summer time", "CEST"},
		{"an offset", `"+02:00"`},
		{"an offset from UTC", "UTC+2"},
		{"an offset as CEL has it", `"02:00"`},
		{"the time zone of wherever the manager runs", "Local"},
		{"a file", "../../etc/passwd"},
		{"no time zone", `""`},
	} {
		schedule(c.name, `hibernateAt: "20:00", timeZone: `+c.zone, "timeZone", wantZone)
	}
	schedule("a time zone too long", `hibernateAt: "20:00", timeZone: `+strings.Repeat("a", 65), "timeZone", "may not be more than 64")

	var many []string
	for i := range 17 {
		many = append(many, fmt.Sprintf("{hibernateAt: '20:%02d'}", i))
	}
	bad("too many schedules", "schedules: ["+strings.Join(many, ", ")+"]", "schedules", "must have at most 16 items")

	status := func(name, fields, at, want string) {
		cases = append(cases, badInput{name: name, from: minimal, status: "{hibernation: {" + fields + "}}", field: "status.hibernation." + at, want: want})
	}
	const wantPhase = `supported values: "Awake", "Hibernating", "Asleep", "Waking"`
	status("a phase that there is not", "phase: Dozing", "phase", wantPhase)
	status("a change to a phase that there is not", "nextChange: {time: '2026-01-02T03:04:05Z', phase: Dozing}", "nextChange.phase", wantPhase)
	status("a change without time", "nextChange: {phase: Asleep}", "nextChange.time", "Required value")
	status("a change without phase", "nextChange: {time: '2026-01-02T03:04:05Z'}", "nextChange.phase", "Required value")
	status("too many reasons to be awake", "awakeBecause: ["+strings.Repeat("a, ", 16)+"a]", "awakeBecause", "must have at most 16 items")
	return append(cases,
		badInput{name: "a gateway by another name", spec: inField("endpoint.gateway", "haproxy"), field: "spec.endpoint.gateway", want: `supported values: "Enabled", "Disabled"`},
		badInput{name: "a gateway by a switch", spec: inField("endpoint.gateway", "true"), field: "spec.endpoint.gateway", want: "must be of type string"},
	)
}

// goodHibernation is what people write of it, and may.
func goodHibernation() []goodInput {
	good := func(name, fields string) goodInput {
		return goodInput{name: name, spec: inField("hibernation", "{"+fields+"}")}
	}
	const asleep = "{version: v1.36.3, hibernation: {enabled: true}}"
	return []goodInput{
		good("hibernation of nothing", ""),
		{name: "made asleep", spec: asleep},
		{name: "put to sleep", from: minimal, spec: asleep},
		{name: "woken", from: asleep, spec: inField("hibernation.enabled", "false")},
		{name: "hibernation left out later", from: asleep, spec: minimal},
		{name: "changed while asleep", from: asleep, spec: with("hibernation: {enabled: true, workers: Keep}, replicas: 3")},
		good("everything about hibernation", `enabled: false, idleAfter: 1h30m, wakeOnRequest: true, workers: PowerOff,
			schedules: [{days: [Monday, Friday], hibernateAt: "20:00", resumeAt: "06:00", timeZone: Europe/Berlin}]`),
		good("the least idle time", "idleAfter: 120s"),
		good("the greatest idle time", "idleAfter: 720h"),
		good("not woken", "idleAfter: 1h, wakeOnRequest: false"),
		good("not woken, which it would not be", "wakeOnRequest: false"),
		good("the edges of a day", `schedules: [{hibernateAt: "00:00", resumeAt: "23:59"}]`),
		good("one edge each", `schedules: [{hibernateAt: "20:00"}, {resumeAt: "06:00", days: [Sunday]}]`),
		good("the same schedule twice", `schedules: [{hibernateAt: "20:00"}, {hibernateAt: "20:00"}]`),
		good("every day by name", `schedules: [{hibernateAt: "20:00", days: [Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday]}]`),
		good("time zones", `schedules: [{hibernateAt: "20:00", timeZone: UTC}, {hibernateAt: "20:00", timeZone: Etc/GMT+12}, {hibernateAt: "20:00", timeZone: Asia/Kathmandu},
			{hibernateAt: "20:00", timeZone: America/Argentina/ComodRivadavia}, {hibernateAt: "20:00", timeZone: America/Port-au-Prince}, {hibernateAt: "20:00", timeZone: Africa/El_Aaiun}]`),
		good("a rest for machines that stay", "enabled: true, workers: Keep"),
		{name: "users by the gateway", spec: inField("endpoint.gateway", "Enabled")},
		{name: "users by the address", spec: inField("endpoint.gateway", "Disabled")},
		{name: "users by the address later", from: minimal, spec: inField("endpoint.gateway", "Disabled")},
		{name: "users by the gateway, machines by nobody's address", spec: with("endpoint: {type: ClusterIP, gateway: Enabled}")},
	}
}
