"""Certificates that take care of themselves.

    wants      what a configuration wants obtained, and by which rules
    keeper     keeps one certificate: when to renew it, what to do when that fails
    issuer     obtains one by ACME (RFC 8555): the only module that imports its library
    authority  the local authority of `internal: true`
    manager    all of it for one running proxy, on threads of its own
    rows       what `reviver certificates` shows

Nothing here touches the engine. `control` asks the manager for the `Material` of the next plan, and is told when that
has changed. Cryptography is imported where it is used: most configurations need none of it.
"""
