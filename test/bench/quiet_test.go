package main

import "testing"

func TestLoad(t *testing.T) {
	before, err := parseLoad("cpu  100 10 50 1000 40 0 5 5 0 0\ncpu0 1 1 1 1\n")
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseLoad("cpu  130 10 60 1150 50 0 5 5 0 0\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := after.since(before); got != 0.2 {
		t.Errorf("40 of 200 ticks were busy, got %v", got)
	}
	if got := before.since(before); got != 0 {
		t.Errorf("no time passed, got %v", got)
	}
	for _, given := range []string{"", "intr 1 2 3", "cpu a b c d e f g h"} {
		if _, err := parseLoad(given); err == nil {
			t.Errorf("%q: no error", given)
		}
	}
}

func TestNear(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b int64
		want bool
	}{
		{"the same", 200, 200, true},
		{"one in a hundred more", 200, 202, true},
		{"three in a hundred less", 200, 194, false},
		{"nothing read before", 0, 200, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := near(tt.a, tt.b); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
