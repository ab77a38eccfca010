// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// mostBytes is how much text a revision may hold. A Secret holds 1 MiB, but it
// is compressed, and whoever may write it decides what comes out.
const mostBytes = 64 << 20

// stored is what is needed of Helm's own record; the chart in it is left out.
type stored struct {
	Manifest string `json:"manifest"`
}

// decode reads what is needed of a stored revision.
func decode(data []byte) (*stored, error) {
	plain, err := unpack(data)
	if err != nil {
		return nil, err
	}
	s := &stored{}
	if err := json.Unmarshal(plain, s); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	return s, nil
}

// unpack reads base64 of JSON, which all but the oldest Helms also compress.
func unpack(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, errors.New("it holds nothing")
	}
	plain, err := base64.StdEncoding.DecodeString(string(data))
	if err != nil {
		return nil, fmt.Errorf("decode base64: %w", err)
	}
	if bytes.HasPrefix(plain, []byte{0x1f, 0x8b, 0x08}) {
		unpacked, err := gzip.NewReader(bytes.NewReader(plain))
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		if plain, err = io.ReadAll(io.LimitReader(unpacked, mostBytes+1)); err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		if len(plain) > mostBytes {
			return nil, fmt.Errorf("decompress: it is larger than %d MiB", mostBytes>>20)
		}
	}
	return plain, nil
}

// pack is the reverse of unpack.
func pack(plain []byte) ([]byte, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(packed.Bytes())), nil
}

// Split reads the documents of a manifest; lists are taken apart, as Helm does.
func Split(manifest string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	docs := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &o.Object); err != nil {
			return nil, err
		}
		switch {
		case len(o.Object) == 0: // comments only
		case o.GetKind() == "":
			return nil, errors.New("an object has no kind")
		case o.IsList():
			list, err := o.ToList()
			if err != nil {
				return nil, err
			}
			for i := range list.Items {
				objects = append(objects, &list.Items[i])
			}
		default:
			objects = append(objects, o)
		}
	}
}
