package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"path"
)

// asset is a file that pages load. Its address changes with its content, so that browsers may keep
// it.
type asset struct {
	content   []byte
	mediaType string
	version   string
}

func loadAssets() (map[string]asset, error) {
	entries, err := files.ReadDir("static")
	if err != nil {
		return nil, fmt.Errorf("read the static files: %w", err)
	}
	all := map[string]asset{}
	for _, e := range entries {
		content, err := files.ReadFile(path.Join("static", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the static files: %w", err)
		}
		sum := sha256.Sum256(content)
		all[e.Name()] = asset{
			content: content, mediaType: mime.TypeByExtension(path.Ext(e.Name())), version: hex.EncodeToString(sum[:6]),
		}
	}
	return all, nil
}

// address is where a page loads a static file from.
func (p *Pages) address(name string) (string, error) {
	a, ok := p.assets[name]
	if !ok {
		return "", fmt.Errorf("there is no static file %q", name)
	}
	return "/static/" + name + "?v=" + a.version, nil
}

func (p *Pages) static(w http.ResponseWriter, r *http.Request) error {
	a, ok := p.assets[r.PathValue("name")]
	if !ok {
		return fmt.Errorf("static file: %w", errNothing)
	}
	h := w.Header()
	h.Set("Content-Type", a.mediaType)
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	_, err := w.Write(a.content)
	return ignoreGone(err)
}
