"""The running proxy: binding, serving, reloading, draining, and talking to it from outside.

Only this package and `reviver.hooks` import the native module, and here only `reviver.control.engine` does.
"""
