// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// JobSpec says how to purge with Jobs in a Kubernetes cluster.
type JobSpec struct {
	Namespace string
	Image     string
	Sweepers  int
	// Journal is the folder that all pods share: header and time cut are made
	// there by the prepare step and read by every sweeper.
	Journal string
	Backup  string
	// Args are the arguments of purge-interface that all pods have in common:
	// connection, interface, accepted dangers. Journal, backup, shard and digest
	// are added here.
	Args []string
	// PasswordSecret and TLSSecret name Secrets, or are empty.
	PasswordSecret string
	PasswordKey    string
	TLSSecret      string
	TLSFolder      string
	// ID sets this purge's folder and names apart from those of any other.
	ID string
}

// Label on everything that belongs to one purge.
const jobLabel = "holdfast.dev/purge"

// Jobs renders three Jobs and the claim of the volume that they share: prepare,
// an Indexed Job of sweepers, and finish. All of them can be applied at once:
// each waits for the one before by way of the shared folder. A pod that is
// killed is started again and goes on; so can the whole manifest be applied
// again.
func (p *Plan) Jobs(s JobSpec) ([]byte, error) {
	name := "holdfast-purge-" + strings.ToLower(s.ID)
	common := append([]string{"recovery", "purge-interface"}, s.Args...)
	common = append(common, "--confirm="+p.Digest, "--journal="+filepath.Join(s.Journal, strings.ToLower(s.ID)))
	if s.Backup != "" {
		common = append(common, "--backup="+s.Backup)
	}
	sweepers := int32(s.Sweepers) //nolint:gosec // G115: bounded by the caller's flag
	objects := []runtime.Object{
		s.claim(name),
		s.job(name+"-prepare", append(common[:len(common):len(common)], fmt.Sprintf("--shard=prepare/%d", s.Sweepers)), nil),
		// Kubernetes puts the variable's value in the place of $(…).
		s.job(name+"-sweep", append(common[:len(common):len(common)], fmt.Sprintf("--shard=$(JOB_COMPLETION_INDEX)/%d", s.Sweepers)), &sweepers),
		s.job(name+"-finish", append(common[:len(common):len(common)], fmt.Sprintf("--shard=finish/%d", s.Sweepers)), nil),
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Purges %s (plan %s) with %d sweepers: kubectl apply -f FILE\n", p.Confirm, p.Digest, s.Sweepers)
	fmt.Fprintf(&out, "# All pods share the folder %s of the claim %s, which must be ReadWriteMany (or all pods on one node).\n", s.Journal, name)
	out.WriteString("# The purge is complete when the Job " + name + "-finish is; its log is the report.\n")
	for _, o := range objects {
		data, err := yaml.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("render jobs: %w", err)
		}
		out.WriteString("---\n")
		out.Write(bytes.ReplaceAll(data, []byte("status: {}\n"), nil))
	}
	return out.Bytes(), nil
}

func (s JobSpec) labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "holdfast", jobLabel: strings.ToLower(s.ID)}
}

// claimSize is room for journals and their ranges; a backup takes more.
const claimSize = "1Gi"

func (s JobSpec) claim(name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Namespace, Labels: s.labels()},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(claimSize)}},
		},
	}
}

// A pod that fails is started again: what it did is in its journal.
const mostPodFailures = 20

func (s JobSpec) job(name string, args []string, sweepers *int32) *batchv1.Job {
	job := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Namespace, Labels: s.labels()},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32(mostPodFailures)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: s.labels()},
				Spec:       s.pod(args, claimOf(name)),
			},
		},
	}
	if sweepers != nil {
		job.Spec.Completions, job.Spec.Parallelism = sweepers, sweepers
		job.Spec.CompletionMode = new(batchv1.IndexedCompletion)
		job.Spec.BackoffLimit, job.Spec.BackoffLimitPerIndex = nil, new(int32(mostPodFailures))
	}
	return job
}

func claimOf(job string) string { return job[:strings.LastIndexByte(job, '-')] }

func (s JobSpec) pod(args []string, claim string) corev1.PodSpec {
	pod := corev1.PodSpec{
		RestartPolicy:                corev1.RestartPolicyNever,
		AutomountServiceAccountToken: new(false),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), FSGroup: new(int64(65532)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Volumes: []corev1.Volume{{Name: "shared", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}},
	}
	c := corev1.Container{
		Name: "holdfast", Image: s.Image, Args: args,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("150Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("300Mi")},
		},
		VolumeMounts: []corev1.VolumeMount{{Name: "shared", MountPath: s.Journal, SubPath: "journal"}},
	}
	if s.Backup != "" {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "shared", MountPath: s.Backup, SubPath: "backup"})
	}
	if s.PasswordSecret != "" {
		c.Env = append(c.Env, corev1.EnvVar{Name: "HOLDFAST_CQL_PASSWORD", ValueFrom: &corev1.EnvVarSource{
			SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: s.PasswordSecret}, Key: s.PasswordKey},
		}})
	}
	if s.TLSSecret != "" {
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "tls", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: s.TLSSecret}}})
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "tls", MountPath: s.TLSFolder, ReadOnly: true})
	}
	pod.Containers = []corev1.Container{c}
	return pod
}
