package web

import (
	"cmp"
	"net/http"
)

// LoginForm is what the login page says.
type LoginForm struct {
	Next   string // where to go once logged in: an address of this site
	Again  bool   // the browser is to ask for Next once more, from here
	Status int    // 0: 200
	Fault  string // the kind of problem that the token met; "": none was tried
}

// Login answers with the login page.
func (p *Pages) Login(w http.ResponseWriter, r *http.Request, form LoginForm) {
	pg := p.newPage(r, "")
	if r.Method != http.MethodGet {
		pg.Here = "/login"
	}
	if form.Again {
		pg.Refresh = form.Next
	}
	pg.Title, pg.Body = pg.texts["login.title"], form
	if err := p.render(w, r, cmp.Or(form.Status, http.StatusOK), "login.html", pg); err != nil {
		p.cfg.Cause(r, err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}
