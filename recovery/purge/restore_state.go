// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// restoreState is kept in the backup's folder.
type restoreState struct {
	Stamp    int64 `json:"stamp"`
	RowStamp int64 `json:"rowStamp"` // 0: the row was not written yet
	Complete bool  `json:"complete"`
	Rows     int64 `json:"rows"`
}

const restoreName = "restore.json"

func (p *RestorePlan) state() (restoreState, error) {
	var s restoreState
	data, err := os.ReadFile(filepath.Join(p.Backup, restoreName))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read state of restore: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("read state of restore: %w", err)
	}
	return s, nil
}

func (p *RestorePlan) keep(s restoreState) error {
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write state of restore: %w", err)
	}
	return writeFile(filepath.Join(p.Backup, restoreName), append(data, '\n'))
}
