package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/voucherd/voucherd/internal/manifest"
)

func TestReadsColumnsByName(t *testing.T) {
	t.Parallel()
	text := "\ufeffFile, order ,reference,account,user\r\n" +
		"a.png,1,\"two\nlines, and a comma\",eu,u1\r\n" +
		"\r\n" +
		" b.jpg , 2 ,,,\r\n"
	got, err := manifest.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []manifest.Line{
		{Number: 2, File: "a.png", Order: "1", Reference: "two\nlines, and a comma", Account: "eu", User: "u1"},
		{Number: 5, File: "b.jpg", Order: "2"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"empty":            {"", []string{"it is empty"}},
		"header only":      {"order,file\n", []string{"no lines"}},
		"unknown column":   {"order,file,amount\n1,a,2\n", []string{"line 1", `"amount"`}},
		"missing column":   {"order,reference\n1,a\n", []string{"line 1", "column file is missing"}},
		"repeated column":  {"order,file,order\n1,a,2\n", []string{"order stands twice"}},
		"every bad line":   {"order,file\n,a\n1,\n1,a,b\n", []string{"line 2: the order", "line 3: the file", "line 4: it has 3 values"}},
		"rounded order":    {"order,file\n1.23457E+18,a\n", []string{"line 2", "spreadsheet"}},
		"not UTF-8":        {"order,file\n1,\xff\n", []string{"line 2", "UTF-8"}},
		"broken quotation": {"order,file\n1,\"a\n", []string{"line 2", "quote"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines, err := manifest.Read(strings.NewReader(tc.text))
			if err == nil {
				t.Fatalf("no error, but %v", lines)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func TestStopsComplainingAboutWhatIsNoManifest(t *testing.T) {
	t.Parallel()
	_, err := manifest.Read(strings.NewReader("order,file\n" + strings.Repeat("x\n", 1000)))
	if err == nil || strings.Count(err.Error(), "\n") > 30 {
		t.Errorf("want some lines of complaints, got %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"order,file\n1,a\n", "\ufefforder,file,user,account,reference\n1,a,b,c,d\n", "order,file\n1,\"a\n", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := manifest.Read(strings.NewReader(text))
		if (err == nil) != (len(lines) > 0) {
			t.Fatalf("%d lines and the error %v", len(lines), err)
		}
		for _, l := range lines {
			if l.Order == "" || l.File == "" || l.Number < 2 {
				t.Fatalf("an incomplete line: %+v", l)
			}
		}
	})
}
