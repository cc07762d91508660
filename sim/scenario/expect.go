package scenario

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"

	"github.com/multilink-vpn/multilink/sim/report"
)

// maxExpression bounds the text of an expectation, in bytes.
const maxExpression = 1000

// expectations decodes the section and checks each expression against all
// that the scenario measures.
func (d *decoder) expectations(n *node, sc *Scenario) {
	if n == nil {
		return
	}
	known := catalogue(sc, d.opts.StatusNames)
	d.list(n, func(item *node) {
		if !d.scalar(item, "must be an expression, such as dl.goodput >= 10e6") {
			return
		}
		sc.Expect = append(sc.Expect, Expectation{Expr: item.text, Line: item.pos.line, Column: item.pos.column})
		if fault := checkExpression(item.text, known, sc); fault != nil {
			p := item.pos
			if item.plain && p.line > 0 {
				p.column += fault.offset
			}
			d.errorf(p, "%s: %s", item.text, fault.message)
		}
	})
}

// exprFault is what is wrong with an expression, and where: offset counts
// characters.
type exprFault struct {
	offset  int
	message string
}

func checkExpression(text string, known *names, sc *Scenario) *exprFault {
	if utf8.RuneCountInString(text) > maxExpression {
		return &exprFault{0, fmt.Sprintf("longer than %d characters", maxExpression)}
	}
	tree, err := parser.Parse(text)
	if err != nil {
		return faultOf(err)
	}
	for _, ref := range references(tree.Node) {
		if message := known.check(ref.parts); message != "" {
			return &exprFault{ref.offset, message}
		}
		if ref.parts[0] == "capacity" {
			if message := unlimited(sc, ref.parts[1]); message != "" {
				return &exprFault{ref.offset, message}
			}
		}
	}
	if _, err := expr.Compile(text, expr.Env(known.typeOf()), expr.AsBool()); err != nil {
		return faultOf(err)
	}
	return nil
}

func faultOf(err error) *exprFault {
	var fe *file.Error
	if errors.As(err, &fe) {
		message := firstLine(fe.Message)
		if strings.HasPrefix(message, "expected bool") {
			message = "a value, not an assertion: compare it with something"
		}
		return &exprFault{fe.From, message}
	}
	return &exprFault{0, firstLine(err.Error())}
}

// unlimited says why there is no capacity to compare with.
func unlimited(sc *Scenario, direction string) string {
	if !math.IsInf(rates(sc, direction), 1) {
		return ""
	}
	for _, l := range sc.Links {
		if l.Present && math.IsInf(rateOf(side(l.Up, l.Down, direction)), 1) {
			return fmt.Sprintf("there is no capacity.%s: the link %s has no rate in that direction", direction, l.Name)
		}
	}
	return ""
}

// reference is a name in an expression, in parts: dl.fct.p50.
type reference struct {
	parts  []string
	offset int
}

// references returns the names an expression uses, each as far as it is
// constant.
func references(root ast.Node) []reference {
	c := &collector{inner: map[ast.Node]bool{}, locals: map[string]bool{"$env": true}}
	ast.Walk(&root, c)
	var refs []reference
	for _, n := range c.found {
		if c.inner[n] {
			continue
		}
		if r, ok := referenceOf(n); ok && !c.locals[r.parts[0]] {
			refs = append(refs, r)
		}
	}
	return refs
}

// collector finds members and identifiers, and which of them are only the
// beginning of a longer name.
type collector struct {
	found  []ast.Node
	inner  map[ast.Node]bool
	locals map[string]bool
}

// Visit implements ast.Visitor; children come before their parents.
func (c *collector) Visit(n *ast.Node) {
	switch v := (*n).(type) {
	case *ast.IdentifierNode:
		c.found = append(c.found, v)
	case *ast.MemberNode:
		if _, constant := v.Property.(*ast.StringNode); constant {
			c.inner[v.Node] = true
			c.found = append(c.found, v)
		}
	case *ast.VariableDeclaratorNode:
		c.locals[v.Name] = true
	}
}

func referenceOf(n ast.Node) (reference, bool) {
	switch v := n.(type) {
	case *ast.IdentifierNode:
		return reference{[]string{v.Value}, v.Location().From}, true
	case *ast.MemberNode:
		r, ok := referenceOf(v.Node)
		property, constant := v.Property.(*ast.StringNode)
		if !ok || !constant {
			return reference{}, false
		}
		r.parts = append(r.parts, property.Value)
		return r, true
	}
	return reference{}, false
}

// Evaluate judges the expectations of a scenario on what was measured. Where
// the measurements have no capacity, it is computed.
func Evaluate(sc *Scenario, measurements map[string]any) []report.Expectation {
	env := maps.Clone(measurements)
	if env == nil {
		env = map[string]any{}
	}
	if env["capacity"] == nil {
		down, up := Capacity(sc)
		env["capacity"] = map[string]any{"down": down, "up": up}
	}
	known := catalogue(sc, nil).typeOf()
	judged := make([]report.Expectation, 0, len(sc.Expect))
	for _, e := range sc.Expect {
		judged = append(judged, judge(e.Expr, known, env))
	}
	return judged
}

func judge(text string, known types.Type, env map[string]any) report.Expectation {
	e := report.Expectation{Expr: text}
	tree, err := parser.Parse(text)
	if err != nil {
		e.Error = firstLine(err.Error())
		return e
	}
	if c, ok := tree.Node.(*ast.BinaryNode); ok && slices.Contains([]string{"<", "<=", ">", ">=", "==", "!="}, c.Operator) {
		e.Left, _ = evaluate(c.Left.String(), known, env)
		e.Right, _ = evaluate(c.Right.String(), known, env)
	}
	for _, ref := range references(tree.Node) {
		if !measured(env, ref.parts) {
			e.Error = strings.Join(ref.parts, ".") + " was not measured"
			return e
		}
	}
	result, err := evaluate(text, known, env)
	if err != nil {
		e.Error = firstLine(err.Error())
		return e
	}
	held, ok := result.(bool)
	if !ok {
		e.Error = fmt.Sprintf("is %v, not true or false", result)
	}
	e.OK = held
	return e
}

func evaluate(text string, known types.Type, env map[string]any) (any, error) {
	program, err := expr.Compile(text, expr.Env(known))
	if err != nil {
		return nil, err
	}
	return expr.Run(program, env)
}

// measured says whether a name leads to a value.
func measured(v any, parts []string) bool {
	for _, part := range parts {
		m, ok := v.(map[string]any)
		if !ok {
			return false
		}
		v = m[part]
	}
	return v != nil
}
