// Command gitops tells how GitOps tools rate an object.
//
// It reads objects from standard input, a JSON document on each line, and writes an answer for each:
//
//	{"object": {…}, "expressions": {"current": "…", "inProgress": "…", "failed": "…"}, "script": "…"}
//	{"kstatus": {…}, "flux": {…}, "argo": {…}}
//
// kstatus is the library itself, flux is Flux' own evaluation of health check expressions, and argo runs a health
// script with the interpreter and the libraries that Argo CD gives it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type question struct {
	Object      unstructured.Unstructured        `json:"object"`
	Expressions kustomize.HealthCheckExpressions `json:"expressions"`
	Script      string                           `json:"script"`
}

type rating struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type answer struct {
	Kstatus rating `json:"kstatus"`
	Flux    rating `json:"flux"`
	Argo    rating `json:"argo"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	questions := json.NewDecoder(bufio.NewReader(in))
	answers := json.NewEncoder(out)
	for {
		var asked question
		if err := questions.Decode(&asked); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		given, err := rate(&asked)
		if err != nil {
			return fmt.Errorf("%s: %w", asked.Object.GetName(), err)
		}
		if err := answers.Encode(given); err != nil {
			return err
		}
	}
}

func rate(asked *question) (answer, error) {
	known, err := kstatus.Compute(&asked.Object)
	if err != nil {
		return answer{}, fmt.Errorf("kstatus: %w", err)
	}
	evaluator, err := cel.NewStatusEvaluator(&asked.Expressions)
	if err != nil {
		return answer{}, fmt.Errorf("expressions: %w", err)
	}
	evaluated, err := evaluator.Evaluate(context.Background(), &asked.Object)
	if err != nil {
		return answer{}, fmt.Errorf("expressions: %w", err)
	}
	health, err := runScript(asked.Script, asked.Object.Object)
	if err != nil {
		return answer{}, fmt.Errorf("script: %w", err)
	}
	return answer{
		Kstatus: rating{known.Status.String(), known.Message},
		Flux:    rating{evaluated.Status.String(), evaluated.Message},
		Argo:    health,
	}, nil
}

// runScript runs a health script as Argo CD does: with few libraries, and the object as a global.
func runScript(script string, object map[string]any) (rating, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		call := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return rating{}, err
		}
	}
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return rating{}, err
	}
	health, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return rating{}, fmt.Errorf("it returns %s, not a table", state.Get(-1).Type())
	}
	return rating{field(health, "status"), field(health, "message")}, nil
}

func field(table *lua.LTable, name string) string {
	if text, ok := table.RawGetString(name).(lua.LString); ok {
		return string(text)
	}
	return ""
}

// value is a part of an object in Lua.
func value(state *lua.LState, part any) lua.LValue {
	switch part := part.(type) {
	case bool:
		return lua.LBool(part)
	case int64:
		return lua.LNumber(part)
	case float64:
		return lua.LNumber(part)
	case string:
		return lua.LString(part)
	case []any:
		table := state.CreateTable(len(part), 0)
		for _, item := range part {
			table.Append(value(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(part))
		for key, item := range part {
			table.RawSetString(key, value(state, item))
		}
		return table
	}
	return lua.LNil
}
