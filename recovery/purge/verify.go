package purge

type Verification struct{}
