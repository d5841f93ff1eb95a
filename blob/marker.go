package blob

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/voucherd/voucherd/internal/crashpoint"
)

const (
	markerFile    = "STORE"
	markerVersion = 1
	tempSuffix    = ".tmp"
)

// marker names a store. While it is there, the directory is the blob store and not the bare mount
// point below it.
type marker struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
}

// readMarker's error wraps fs.ErrNotExist when there is no marker.
func readMarker(root *os.Root) (marker, error) {
	text, err := root.ReadFile(markerFile)
	if err != nil {
		return marker{}, fmt.Errorf("read the blob store's marker: %w", err)
	}
	return parseMarker(text)
}

func parseMarker(text []byte) (marker, error) {
	var m marker
	if err := json.Unmarshal(text, &m); err != nil {
		return marker{}, fmt.Errorf("read the blob store's marker: %w", err)
	}
	switch {
	case m.Version > markerVersion:
		return marker{}, fmt.Errorf("the blob store's marker has version %d, this program knows %d: use a newer one",
			m.Version, markerVersion)
	case m.ID == "":
		return marker{}, errors.New("the blob store's marker names no id")
	}
	return m, nil
}

// ensureMarker reads the marker, or makes one in an empty directory. When several processes do that
// at once, all get the same.
func ensureMarker(root *os.Root) (marker, error) {
	m, err := readMarker(root)
	if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	empty, err := isEmpty(root)
	if err != nil {
		return marker{}, err
	}
	if !empty {
		// It may have been made since the first look.
		if m, err = readMarker(root); errors.Is(err, fs.ErrNotExist) {
			return marker{}, fmt.Errorf("it holds files but no %s marker: is the right disk mounted? "+
				"Only an empty directory becomes a new blob store", markerFile)
		}
		return m, err
	}
	if err := createMarker(root); err != nil {
		return marker{}, err
	}
	return readMarker(root)
}

// createMarker makes a whole marker or none: a link appears at once with its bytes, and does not
// replace another process's.
func createMarker(root *os.Root) error {
	text, err := json.Marshal(marker{Version: markerVersion, ID: randomName()})
	if err != nil {
		return fmt.Errorf("make the blob store's marker: %w", err)
	}
	temp := tempName(markerFile)
	defer func() { _ = root.Remove(temp) }()
	if err = writeNew(root, temp, text); err != nil {
		return fmt.Errorf("make the blob store's marker: %w", err)
	}
	err = crashpoint.Do("store: link the marker", func() error { return root.Link(temp, markerFile) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the blob store's marker (the file system must know hard links): %w", err)
	}
	return syncDir(root, ".")
}

// isEmpty looks past what a fresh file system brings along, and past markers in the making.
func isEmpty(root *os.Root) (bool, error) {
	entries, err := readDir(root, ".")
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		making := strings.HasPrefix(e.Name(), markerFile+".") && strings.HasSuffix(e.Name(), tempSuffix)
		if e.Name() != "lost+found" && !making {
			return false, nil
		}
	}
	return true, nil
}
