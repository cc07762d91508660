package virtual
import ("testing";"context";"os";"github.com/multilink-vpn/multilink/sim/scenario")
func TestZZ(t *testing.T){ sc,err:=scenario.Load(os.Getenv("SC"),scenario.Options{Set: []string{"baseline=","duration=2s","warmup=0s"}}); if err!=nil{t.Fatal(err)}; _,err=Run(context.Background(),sc,Options{}); if err!=nil{t.Fatal(err)} }
