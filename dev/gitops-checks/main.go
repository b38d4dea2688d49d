// Command gitops-checks prints what GitOps tools make of objects: the kstatus library, the health checks of Flux, and a
// health script of Argo CD. It reads one JSON document from standard input and writes one to standard output.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type input struct {
	Objects []unstructured.Unstructured `json:"objects"`
	// An entry of spec.healthCheckExprs of a Flux Kustomization.
	Flux kustomize.HealthCheckExpressions `json:"flux"`
	// The script of Argo CD.
	Lua string `json:"lua"`
}

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// output is about one object.
type output struct {
	Kstatus health `json:"kstatus"`
	Flux    string `json:"flux"`
	Argo    health `json:"argo"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	evaluator, err := cel.NewStatusEvaluator(&in.Flux)
	if err != nil {
		return fmt.Errorf("flux: %w", err)
	}
	outputs := make([]output, 0, len(in.Objects))
	for _, object := range in.Objects {
		computed, err := status.Compute(&object)
		if err != nil {
			return fmt.Errorf("kstatus of %s: %w", object.GetName(), err)
		}
		flux, err := evaluator.Evaluate(context.Background(), &object)
		if err != nil {
			return fmt.Errorf("flux on %s: %w", object.GetName(), err)
		}
		argo, err := argoHealth(&object, in.Lua)
		if err != nil {
			return fmt.Errorf("argo on %s: %w", object.GetName(), err)
		}
		outputs = append(outputs, output{
			Kstatus: health{string(computed.Status), computed.Message},
			Flux:    flux.Status.String(),
			Argo:    argo,
		})
	}
	return json.NewEncoder(os.Stdout).Encode(outputs)
}

// argoHealth runs the script as Argo CD does: in gopher-lua, with the libraries package, base and table alone, within one
// second. Its library os, which tells the time, is absent here; a health that depends on the time would not be updated.
func argoHealth(object *unstructured.Unstructured, script string) (health, error) {
	// Argo CD does not run the script on an object that is being deleted.
	if object.GetDeletionTimestamp() != nil {
		return health{"Progressing", "Pending deletion"}, nil
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}}
	for _, library := range libraries {
		call := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return health{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(script); err != nil {
		return health{}, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return health{}, fmt.Errorf("the script returns a %s, not a table", state.Get(-1).Type())
	}
	return health{field(table, "status"), field(table, "message")}, nil
}

func field(table *lua.LTable, name string) string {
	if text, ok := table.RawGetString(name).(lua.LString); ok {
		return string(text)
	}
	return ""
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch typed := value.(type) {
	case bool:
		return lua.LBool(typed)
	case float64:
		return lua.LNumber(typed)
	case int64:
		return lua.LNumber(typed)
	case string:
		return lua.LString(typed)
	case []any:
		table := state.CreateTable(len(typed), 0)
		for _, item := range typed {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(typed))
		for name, item := range typed {
			table.RawSetString(name, toLua(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}
