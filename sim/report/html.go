package report

import (
	"embed"
	"html/template"
	"io"
)

// The parts of a page. uPlot draws the charts; its licence goes with it.
//
//go:embed assets
var assets embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"css": func(name string) (template.CSS, error) {
		b, err := assets.ReadFile("assets/" + name)
		return template.CSS(b), err
	},
	"js": func(name string) (template.JS, error) {
		b, err := assets.ReadFile("assets/" + name)
		return template.JS(b), err
	},
	"text": func(name string) (string, error) { b, err := assets.ReadFile("assets/" + name); return string(b), err },
}).ParseFS(assets, "assets/page.html"))

// WriteHTML writes a page as one file that needs nothing else: neither a
// network nor other files.
func WriteHTML(w io.Writer, p *Page) error { return pageTemplate.Execute(w, p) }
