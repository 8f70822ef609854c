package smd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// A Folder is an inventory in files: a folder with EthernetInterfaces.json and
// Components.json in SMD's own format, or one file with both lists, such as a
// snapshot.
type Folder struct{ Path string }

// Fetch implements Source.
func (f Folder) Fetch(context.Context) (Answer, error) {
	if stat, err := os.Stat(f.Path); err == nil && stat.Mode().IsRegular() {
		return f.fetchFile()
	}
	interfaces, err := readFile(filepath.Join(f.Path, "EthernetInterfaces.json"))
	if err != nil {
		return Answer{}, err
	}
	components, err := readFile(filepath.Join(f.Path, "Components.json"))
	return Answer{NewBody(interfaces), NewBody(components)}, err
}

func (f Folder) fetchFile() (Answer, error) {
	octets, err := readFile(f.Path)
	if err != nil {
		return Answer{}, err
	}
	saved, err := parseSaved(octets)
	if err != nil {
		return Answer{}, fmt.Errorf("reading inventory: %s: %w", f.Path, err)
	}
	return saved.answer(), nil
}

// A savedFile is an inventory in one file.
type savedFile struct {
	EthernetInterfaces json.RawMessage
	Components         json.RawMessage
}

// parseSaved reads an inventory in one file, whose lists are not looked into.
func parseSaved(octets []byte) (savedFile, error) {
	var saved savedFile
	if err := json.Unmarshal(octets, &saved); err != nil {
		return savedFile{}, fmt.Errorf("broken JSON: %w", err)
	}
	return saved, nil
}

// answer returns the two lists as SMD sends them.
func (s savedFile) answer() Answer {
	components := Body{[][]byte{[]byte(`{"Components":`), s.Components, []byte("}")}}
	if s.Components == nil {
		components = NewBody([]byte("{}"))
	}
	return Answer{NewBody(s.EthernetInterfaces), components}
}

// readFile reads a regular file of bounded size.
func readFile(path string) ([]byte, error) {
	stat, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading inventory: %w", err)
	case !stat.Mode().IsRegular():
		return nil, fmt.Errorf("reading inventory: %s is not a regular file", path)
	case stat.Size() > DefaultSizeLimit:
		return nil, fmt.Errorf("reading inventory: %s is larger than %d octets", path, int64(DefaultSizeLimit))
	}
	return os.ReadFile(path)
}
