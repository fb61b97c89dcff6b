"""Images and proofs that are broken on purpose, each in one way: all of them must be refused.

files     what a certificate finds in an image's files, without running any of them
servers   what the suite finds, because the image answers wrongly, or not as it should
proofs    what a changed copy of the project would call a proof of an image
"""
