module example.com/deps

go 1.17

require example.com/helper v0.1.2

replace example.com/helper => ./helper
