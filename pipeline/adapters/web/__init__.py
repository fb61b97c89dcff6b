"""HTTP as every adapter of ours speaks it: each request before its deadline, and again where that may help.

deadline  how long a request may take in all
wire      bytes to a host and back, before that deadline
pools     connections that are kept, and one request over them
retries   which failures may pass, and how often and after what pauses a request is made again
"""
