package main

import "testing"

func TestParseMemoryStat(t *testing.T) {
	for _, tc := range []struct {
		name, stat string
		want       int64
		fails      bool
	}{
		{name: "v1 counts a group's children in its totals", want: 70,
			stat: "cache 1\nrss 2\nshmem 3\ntotal_cache 100\ntotal_rss 30\ntotal_shmem 40\n"},
		{name: "v2", stat: "anon 30\nfile 100\nshmem 40\n", want: 70},
		{name: "without either", stat: "cache 1\n", fails: true},
		{name: "no number", stat: "anon many\nshmem 1\n", fails: true},
	} {
		got, err := parseMemoryStat(tc.stat)
		if got != tc.want || (err != nil) != tc.fails {
			t.Errorf("%s: %d, %v; want %d", tc.name, got, err, tc.want)
		}
	}
}
