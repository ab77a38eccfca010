// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"github.com/holdfast-dev/holdfast/test/controlplane"
)

// clientAddress is how etcd's log names where it listens for clients.
var clientAddress = regexp.MustCompile(`"serving client traffic[^}]*"address":"([^"]+)"`)

// Etcd is all that the control plane's etcd holds now, as it is stored, by key.
func Etcd(ctx context.Context, cluster *controlplane.Cluster) (map[string][]byte, error) {
	log, err := os.ReadFile(filepath.Join(cluster.Logs, "etcd.log"))
	if err != nil {
		return nil, fmt.Errorf("find etcd: %w", err)
	}
	found := clientAddress.FindSubmatch(log)
	if found == nil {
		return nil, errors.New("find etcd: its log does not tell where it listens")
	}
	// From the first key to the last.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+string(found[1])+"/v3/kv/range", bytes.NewReader([]byte(`{"key":"AA==","range_end":"AA=="}`)))
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read etcd: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	var all struct {
		KVs []struct{ Key, Value []byte }
	}
	if err := json.NewDecoder(response.Body).Decode(&all); err != nil {
		return nil, fmt.Errorf("read etcd: %w", err)
	}
	if len(all.KVs) == 0 {
		return nil, fmt.Errorf("read etcd: %s", response.Status)
	}
	stored := map[string][]byte{}
	for _, kv := range all.KVs {
		stored[string(kv.Key)] = kv.Value
	}
	return stored, nil
}
