package engine

import (
	"reflect"
	"slices"
	"strings"
)

// The roles.
const (
	roleClient = "client"
	roleServer = "server"
)

// StatusNames returns the dotted names of everything in the status of a role
// ("client" or "server"), in order; "*" stands for the name of a link, client or
// interface: "session.mtu", "links.*.srtt", "counters.drop_auth". Lists of
// links and of clients are taken as maps by name.
func StatusNames(role string) []string {
	var names []string
	walkNames(reflect.TypeFor[Status](), "", func(name string) {
		top, _, _ := strings.Cut(name, ".")
		if ofRole(top, role) {
			names = append(names, name)
		}
	})
	for name := range counterNames(role) {
		names = append(names, "counters."+name)
	}
	slices.Sort(names)
	return names
}

// ofRole says whether a top-level name is in the status of a role.
func ofRole(top, role string) bool {
	switch top {
	case "session", "links", "rejected_interfaces":
		return role == roleClient
	case "clients", "listen":
		return role == roleServer
	}
	return true
}

// walkNames visits the JSON names of a type's leaves.
func walkNames(t reflect.Type, path string, visit func(string)) {
	switch t.Kind() {
	case reflect.Pointer:
		walkNames(t.Elem(), path, visit)
	case reflect.Struct:
		walkFields(t, path, visit)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			walkFields(t.Elem(), path+".*", visit)
			return
		}
		visit(path)
	case reflect.Map:
		if t != reflect.TypeFor[Counters]() { // their names are known: counterNames
			visit(path + ".*")
		}
	default:
		visit(path)
	}
}

func walkFields(t reflect.Type, path string, visit func(string)) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			walkFields(f.Type, path, visit)
		case !f.IsExported() || name == "-" || name == "":
		case path == "":
			walkNames(f.Type, name, visit)
		default:
			walkNames(f.Type, path+"."+name, visit)
		}
	}
}
