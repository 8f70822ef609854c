package manifests

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const file = "../../resources/kubernetes/coredhcp.yaml"

// TestManifests reads the manifests, and looks at what binds them together.
func TestManifests(t *testing.T) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Read(text)
	if err != nil {
		t.Fatal(err)
	}
	var space *corev1.Namespace
	var config *corev1.ConfigMap
	var set *appsv1.DaemonSet
	for _, o := range objects {
		switch o := o.(type) {
		case *corev1.Namespace:
			space = o
		case *corev1.ConfigMap:
			config = o
		case *appsv1.DaemonSet:
			set = o
		}
	}
	if len(objects) != 3 || space == nil || config == nil || set == nil {
		t.Fatalf("%d objects, want a namespace, a configuration, a daemon set", len(objects))
	}
	if config.Namespace != space.Name || set.Namespace != space.Name {
		t.Errorf("namespaces %q and %q, want %q", config.Namespace, set.Namespace, space.Name)
	}
	pod := set.Spec.Template
	if !labels.SelectorFromSet(set.Spec.Selector.MatchLabels).Matches(labels.Set(pod.Labels)) {
		t.Errorf("selector %v does not match %v", set.Spec.Selector.MatchLabels, pod.Labels)
	}
	if !pod.Spec.HostNetwork || len(pod.Spec.Containers) != 1 {
		t.Fatal("want one container on the host's network")
	}
	checkContainer(t, pod.Spec)
	if volume := pod.Spec.Volumes[0]; volume.ConfigMap == nil || volume.ConfigMap.Name != config.Name || config.Data["config.yaml"] == "" {
		t.Errorf("the configuration of %+v is not that of %s", volume, config.Name)
	}
}

func checkContainer(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	c := pod.Containers[0]
	var volumes, mounts []string
	for _, v := range pod.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, m := range c.VolumeMounts {
		mounts = append(mounts, m.Name)
	}
	if !slices.Equal(volumes, mounts) {
		t.Errorf("volumes %v, mounts %v", volumes, mounts)
	}
	added := c.SecurityContext.Capabilities.Add
	if want := []corev1.Capability{"NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW"}; !slices.Equal(added, want) {
		t.Errorf("capabilities %v, want %v", added, want)
	}
	if c.LivenessProbe.TimeoutSeconds < 10 || c.ReadinessProbe.TimeoutSeconds < 10 {
		t.Error("a probe has less time than what it asks")
	}
}

// TestMistakes has mistakes that only a schema shows.
func TestMistakes(t *testing.T) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"hostNetwork: true":   "hostNetworks: true",
		"periodSeconds: 30":   "periodSeconds: often",
		"apiVersion: apps/v1": "apiVersion: apps/v0",
	} {
		if _, err := Read([]byte(strings.Replace(string(text), from, to, 1))); err == nil {
			t.Errorf("%s is not found", to)
		}
	}
}

// TestQuadlet has Podman's generator make a service of the container unit.
func TestQuadlet(t *testing.T) {
	folder, err := filepath.Abs("../../resources/quadlet")
	if err != nil {
		t.Fatal(err)
	}
	generator := filepath.Join(t.TempDir(), "quadlet")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "remote,exclude_graphdriver_btrfs,containers_image_openpgp", "-o", generator, "github.com/containers/podman/v5/cmd/quadlet")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), generator, "-dryrun")
	cmd.Env = append(os.Environ(), "QUADLET_UNIT_DIRS="+folder)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"\nLogRateLimitIntervalSec=0\n", " --network host ", " --read-only ", " --tmpfs /tmp ",
		" --cap-drop all --cap-add net_admin --cap-add net_bind_service --cap-add net_raw ",
		" -v /etc/coredhcp/config.yaml:/etc/coredhcp/config.yaml:ro,Z ", ` --health-cmd "/coresmd\x20health" `,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
