module owners

go 1.18
