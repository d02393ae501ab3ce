module airfield.dev/tools/go/pause

go 1.26.0

tool airfield.dev/tools/go/pause
