"""The word list of codes: 256 short words that sound different; none is a prefix of another."""

_LIST = """
acorn agate album almond amber anchor angle apple april arrow atlas autumn badger bakery bamboo
banjo barley basket beacon berry bicycle birch biscuit blanket blossom bonfire bottle bridge
bronze bucket button cabin cactus camel candle canyon carbon carpet castle cedar cello chapel
cherry chimney cinema circle citron clover cobalt coconut comet compass copper coral cotton
cradle crater cricket crystal curtain cypress dagger daisy dancer delta denim desert diamond
dolphin domino donkey dragon drummer eagle easel eclipse elbow ember emerald engine envelope
ermine espresso evening fabric falcon feather fender fiddle filter flamingo flannel flute forest
fossil fountain freckle frigate galaxy garden garlic gazelle geyser ginger giraffe glacier
goblet gondola granite grape guitar gypsum hammer harbor harvest hazel heather helmet heron
hickory hollow honey horizon hornet husky iceberg igloo indigo iris island ivory jacket jaguar
jasmine jersey jigsaw jungle juniper kayak kernel kettle kiosk kitten koala lagoon lantern
laurel lavender lemon library lilac linen lizard lobster locket lotus lumber magnet magpie
mammoth mango maple marble meadow melon meteor mirror mitten molten monsoon mosaic muffin museum
mustard napkin nectar needle nickel nimbus nutmeg oasis ocean octopus olive onion opal orbit
orchid otter oyster paddle panther papaya parade parsley pebble pelican pepper piano pigeon
pilot pioneer planet plaza plum pocket pollen pony poppy prairie puffin pumpkin pyramid quartz
quiver rabbit radish raven ribbon river robin rocket rooster rubber saddle saffron salmon sandal
sapphire satin scarlet shadow shovel silver siren sketch socket sparrow spiral squirrel stadium
summit sunset tablet temple thunder timber tomato topaz tulip tundra turtle velvet violin walnut
window
"""

WORDS = tuple(_LIST.split())
