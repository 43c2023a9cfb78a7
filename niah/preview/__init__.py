"""One scene to see and to hear: a model's input as an array, a picture and a sound.

files     `niah preview`: all files of one scene, written at once
scene     the scene with its parts
picture   the spectrogram, needle and padding marked
sound     the scene as a WAV
heard     where in it a model heard its highest classes
evidence  the curves of those classes, drawn and as a table
"""
