# The base image: the root file system that mmdebstrap made, as one layer.
FROM scratch
ADD base.tar /
CMD ["/bin/sh"]
