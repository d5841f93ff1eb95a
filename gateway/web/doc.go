// Package web is the gateway's pages for people: they are rendered on the server in English or
// Simplified Chinese, work without JavaScript, and hold nothing inline, so that the strictest
// Content-Security-Policy fits them.
//
// The package answers requests that the gateway has let in: who may do what, cross-origin checks
// and the access log are the gateway's.
package web
