"""Random changes to a batch of training photos, on the device.

What is drawn for a photo depends on seed, epoch and photo alone, not on its batch, so it does not
change with the number of processes or after a resume.
"""
