"""One scene to see and to hear: what a model gets, as an array, a picture and a sound.

files    `niah preview`: everything about one scene, written at once
scene    the scene that all of it tells of
picture  the spectrogram, the needle marked
sound    the scene as a WAV
heard    where in it a model heard its highest classes
"""
