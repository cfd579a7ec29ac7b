module tlsfloor

go 1.21
