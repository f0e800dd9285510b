package validation

import (
	"testing"

	"github.com/teapot-cloud/teapot/test/apiserver"
)

func TestMain(m *testing.M) { apiserver.Run(m) }
