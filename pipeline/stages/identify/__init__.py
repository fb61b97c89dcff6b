"""What an image really is, from a few small files of it, or from its certificate.

Unlike a certificate it judges nothing and reads no library, so it answers at once where the image lies on
this machine.

    gather    the files that tell, and the folders that are worth entering
    pythons   the Pythons of an image, and what of the stack each of them imports
    claims    what an image says of itself: by its tag, its labels and its variables
    identity  all of it together
"""

from pipeline.stages.identify.identity import by_labels, of_certificate, of_files

__all__ = ["by_labels", "of_certificate", "of_files"]
