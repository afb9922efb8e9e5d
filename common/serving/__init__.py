"""Serving releases: TF Serving's files, a server for laptops, clients.

`rollout` says which versions are loaded and labelled; `config` keeps that in
the text files that TF Serving reads; `warmup` writes real requests into a
release. `models`, `rest` and `grpc_service` are the embedded server; `launch`
chooses between it and TF Serving. `remote` asks any of them.
"""
