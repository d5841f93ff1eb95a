package check

import (
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// TestCompose loads the Compose file as docker compose does, with each of its profiles.
func TestCompose(t *testing.T) {
	t.Parallel()
	options, err := cli.NewProjectOptions([]string{"../../docker-compose.yml"}, cli.WithName("voucherd"), cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"redis", "worker", "gateway", "sandbox"} {
		if _, err := project.GetService(name); err != nil {
			t.Error(err)
		}
	}
}
